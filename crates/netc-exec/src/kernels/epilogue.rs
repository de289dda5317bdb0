//! Applies elementwise ops to a tensor in place, block by block.
//!
//! A block goes through all ops while it is in the cache, so intermediate results are one block long. Each element is
//! computed as in [`elementwise`](super::elementwise).

use netc_ir::{Binary, ElemType, Unary};
use rayon::prelude::*;

use super::elementwise;
use super::num::Arith;
use super::repeat::Repeated;
use crate::error::KernelError;
use crate::error::kernel::Result;
use crate::value::Value;

/// Elements per block.
const BLOCK: usize = 2048;

/// Blocks per parallel task.
const BLOCKS: usize = 16;

/// An op on the tensor, on earlier results and on operands.
#[derive(Clone, Copy, Debug)]
pub(crate) enum EpilogueOp {
    Unary(Unary, Source),
    Binary(Binary, [Source; 2]),
}

/// A value that an op reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    /// A tensor from outside, broadcast to the shape.
    Operand(usize),
    /// The tensor itself (0), or the result of an earlier op (1, 2, ...).
    Computed(usize),
}

/// Ops compiled to moves on block-sized slots. Slot 0 is the block of the tensor.
#[derive(Debug)]
pub(crate) struct Epilogue {
    instrs: Vec<Instr>,
    slots: usize,
}

#[derive(Debug)]
enum Instr {
    Copy { to: usize, from: Place },
    Unary { f: Unary, at: usize },
    Binary { f: Binary, at: usize, other: Place, other_first: bool },
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Slot(usize),
    Operand(usize),
}

impl Epilogue {
    /// Compiles the ops. Each reads the tensor, earlier results or operands; the last one computes the result.
    pub(crate) fn new(ops: &[EpilogueOp]) -> Self {
        let mut slots = Slots { of: vec![0], free: Vec::new(), count: 1 };
        let mut instrs = Vec::new();
        for (i, op) in ops.iter().enumerate() {
            let dies = |source: Source| !ops[i + 1..].iter().any(|later| later.reads(source));
            match *op {
                EpilogueOp::Unary(f, x) => {
                    let at = slots.overwritten(x, dies(x), &mut instrs);
                    instrs.push(Instr::Unary { f, at });
                    slots.of.push(at);
                }
                EpilogueOp::Binary(f, [a, b]) => {
                    let can_overwrite = |source| dies(source) && matches!(source, Source::Computed(_));
                    let other_first = a != b && !can_overwrite(a) && can_overwrite(b);
                    let (x, other) = if other_first { (b, a) } else { (a, b) };
                    let at = slots.overwritten(x, a != b && dies(x), &mut instrs);
                    instrs.push(Instr::Binary { f, at, other: slots.place(other), other_first });
                    slots.of.push(at);
                    if let Place::Slot(slot) = slots.place(other)
                        && dies(other)
                    {
                        slots.free.push(slot);
                    }
                }
            }
        }
        let last = slots.of[slots.of.len() - 1];
        if last != 0 {
            instrs.push(Instr::Copy { to: 0, from: Place::Slot(last) });
        }
        Self { instrs, slots: slots.count }
    }

    /// Applies the ops to `x` in place. The operands broadcast to its shape.
    pub(crate) fn run(&self, x: &mut Value, operands: &[&Value]) -> Result<()> {
        match x.elem() {
            ElemType::F32 => self.run_as::<f32>(x, operands),
            ElemType::F64 => self.run_as::<f64>(x, operands),
            elem @ (ElemType::Bool
            | ElemType::I8
            | ElemType::I16
            | ElemType::I32
            | ElemType::I64
            | ElemType::U8
            | ElemType::U16
            | ElemType::U32
            | ElemType::U64
            | ElemType::F16
            | ElemType::BF16
            | ElemType::Str
            | ElemType::Any
            | ElemType::Narrow(_)) => Err(KernelError::Element { elem }),
        }
    }

    fn run_as<T: Real>(&self, x: &mut Value, operands: &[&Value]) -> Result<()> {
        if x.num_elements() == 0 {
            return Ok(());
        }
        let operands = operands.iter().map(|v| Ok((v.slice::<T>()?, v.dims()))).collect::<Result<Vec<_>>>()?;
        let dims = x.dims().to_vec();
        let parts = x.slice_mut::<T>()?.par_chunks_mut(BLOCKS * BLOCK).enumerate();
        parts.try_for_each(|(i, elements)| self.run_part(elements, i * BLOCKS * BLOCK, &dims, &operands))
    }

    /// Applies the ops to `elements`, which begin at element `start` of a tensor of shape `dims`.
    fn run_part<T: Real>(
        &self,
        elements: &mut [T],
        start: usize,
        dims: &[usize],
        operands: &[(&[T], &[usize])],
    ) -> Result<()> {
        let mut operands: Vec<Repeated<'_, T>> =
            operands.iter().map(|(data, own)| Repeated::new(data, own, dims, BLOCK)).collect();
        let period = operands.iter().map(Repeated::period).filter(|p| *p <= BLOCK).max().unwrap_or(1);
        let block = BLOCK / period * period;
        let mut temporaries = vec![vec![T::default(); block.min(elements.len())]; self.slots - 1];
        for (i, elements) in elements.chunks_mut(block).enumerate() {
            let len = elements.len();
            let others = temporaries.iter_mut().map(|t| &mut t[..len]);
            let mut slots: Vec<&mut [T]> = std::iter::once(elements).chain(others).collect();
            self.instrs.iter().try_for_each(|step| step.run(&mut slots, &mut operands, start + i * block))?;
        }
        Ok(())
    }
}

impl EpilogueOp {
    fn reads(&self, source: Source) -> bool {
        match self {
            Self::Unary(_, x) => *x == source,
            Self::Binary(_, xs) => xs.contains(&source),
        }
    }
}

/// Allocates slots to values.
struct Slots {
    /// The slots of the tensor and of each result so far.
    of: Vec<usize>,
    free: Vec<usize>,
    count: usize,
}

impl Slots {
    fn place(&self, source: Source) -> Place {
        match source {
            Source::Operand(i) => Place::Operand(i),
            Source::Computed(i) => Place::Slot(self.of[i]),
        }
    }

    /// A slot that holds `x` and may be overwritten: its own slot if `x` dies, else a copy.
    fn overwritten(&mut self, x: Source, dies: bool, instrs: &mut Vec<Instr>) -> usize {
        let from = self.place(x);
        match from {
            Place::Slot(slot) if dies => slot,
            Place::Slot(_) | Place::Operand(_) => {
                let to = self.free.pop().unwrap_or(self.count);
                self.count = self.count.max(to + 1);
                instrs.push(Instr::Copy { to, from });
                to
            }
        }
    }
}

impl Instr {
    /// Executes the move for the block that begins at element `start`.
    fn run<T: Real>(&self, slots: &mut [&mut [T]], operands: &mut [Repeated<'_, T>], start: usize) -> Result<()> {
        let to = match self {
            Self::Copy { to, .. } => *to,
            Self::Unary { at, .. } | Self::Binary { at, .. } => *at,
        };
        let x = std::mem::take(&mut slots[to]);
        match self {
            Self::Unary { f, .. } => T::unary(*f, x)?,
            Self::Copy { from, .. } => match read(*from, slots, operands, start, x.len()) {
                Other::Each(y) => x.copy_from_slice(y),
                Other::One(y) => x.fill(y),
            },
            Self::Binary { f, other, other_first, .. } => {
                binary(*f, x, read(*other, slots, operands, start, x.len()), *other_first)?;
            }
        }
        slots[to] = x;
        Ok(())
    }
}

/// The second operand of a block: one value per element, or one value for all.
#[derive(Clone, Copy)]
pub(super) enum Other<'a, T> {
    Each(&'a [T]),
    One(T),
}

fn read<'a, T: Copy>(
    place: Place,
    slots: &'a [&mut [T]],
    operands: &'a mut [Repeated<'_, T>],
    start: usize,
    len: usize,
) -> Other<'a, T> {
    match place {
        Place::Slot(slot) => Other::Each(&*slots[slot]),
        Place::Operand(i) => operands[i].block(start, len),
    }
}

/// A type that tails are computed in.
pub(super) trait Real: Arith {
    /// The element type.
    const ELEM: ElemType;

    /// Applies the function to each element in place.
    fn unary(f: Unary, x: &mut [Self]) -> Result<()>;
}

impl Real for f32 {
    const ELEM: ElemType = ElemType::F32;

    fn unary(f: Unary, x: &mut [Self]) -> Result<()> {
        elementwise::unary_f32(f, x)
    }
}

impl Real for f64 {
    const ELEM: ElemType = ElemType::F64;

    fn unary(f: Unary, x: &mut [Self]) -> Result<()> {
        elementwise::unary_f64(f, x)
    }
}

fn binary<T: Real>(f: Binary, x: &mut [T], other: Other<'_, T>, other_first: bool) -> Result<()> {
    match f {
        Binary::Add => zip(x, other, other_first, T::plus),
        Binary::Sub => zip(x, other, other_first, T::minus),
        Binary::Mul => zip(x, other, other_first, T::times),
        Binary::Div => zip(x, other, other_first, T::over),
        Binary::Pow => zip(x, other, other_first, T::power),
        Binary::Max => zip(x, other, other_first, T::larger),
        Binary::Min => zip(x, other, other_first, T::smaller),
        Binary::And | Binary::Or => return Err(KernelError::Element { elem: T::ELEM }),
    }
    Ok(())
}

fn zip<T: Copy>(x: &mut [T], other: Other<'_, T>, other_first: bool, f: impl Fn(T, T) -> T) {
    match (other, other_first) {
        (Other::Each(y), false) => x.iter_mut().zip(y).for_each(|(x, y)| *x = f(*x, *y)),
        (Other::Each(y), true) => x.iter_mut().zip(y).for_each(|(x, y)| *x = f(*y, *x)),
        (Other::One(y), false) => x.iter_mut().for_each(|x| *x = f(*x, y)),
        (Other::One(y), true) => x.iter_mut().for_each(|x| *x = f(y, *x)),
    }
}
