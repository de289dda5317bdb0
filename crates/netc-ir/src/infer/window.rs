//! Convolution and pooling: ops that slide a window over the spatial axes.

use super::{Result, Rule, is_number, split_last};
use crate::dim::Dim;
use crate::op::{Layout, Padding, Window};
use crate::types::{ElemType, Type, dims_agree};

impl Rule<'_> {
    pub(super) fn conv(&self, operands: &[&Type], window: &Window, groups: u64) -> Result<Type> {
        let [x, w] = self.operands(operands)?;
        let elem = self.same_elem(&[x, w])?;
        self.domain(7, is_number(elem), elem)?;
        self.window(window)?;
        self.check(4, groups >= 1, || "has 0 groups, expected 1 or more".into())?;
        let (Some(xd), Some(wd)) = (&x.dims, &w.dims) else { return Ok(Type::unranked(elem)) };
        self.check(2, xd.len() >= 3 && xd.len() == wd.len(), || {
            format!("input is {x} and kernel {w}, expected equal ranks of 3 or more")
        })?;
        self.window_rank(window, xd.len() - 2)?;
        let channels = channel_axis(window.layout, xd.len());
        let (kernel, [per_group, filters]) = split_last(wd);
        self.check(4, filters.known().is_none_or(|f| f % groups == 0), || {
            format!("{filters} filters are not divisible by {groups} groups")
        })?;
        self.check(5, dims_agree(&xd[channels], &per_group.times(&Dim::Known(groups))), || {
            format!(
                "the input has {} channels, but a kernel of {w} in {groups} groups reads {per_group} x {groups}",
                xd[channels]
            )
        })?;
        self.check(6, kernel.iter().all(|k| !k.is(0)), || format!("the kernel {w} has an axis of extent 0"))?;
        self.windowed(x, elem, kernel, window, filters)
    }

    pub(super) fn pool(&self, operands: &[&Type], size: &[u64], window: &Window) -> Result<Type> {
        let [x] = self.operands(operands)?;
        self.domain(4, is_number(x.elem), x.elem)?;
        self.check(2, !size.is_empty() && size.iter().all(|s| *s >= 1), || {
            format!("window {size:?}: expected extents of 1 or more")
        })?;
        self.window(window)?;
        let Some(xd) = &x.dims else { return Ok(x.clone()) };
        self.check(1, xd.len() >= 3, || format!("operand is {x}, expected rank 3 or more"))?;
        self.check(2, size.len() == xd.len() - 2, || {
            format!("window {size:?} does not fit {x}: expected {} extents", xd.len() - 2)
        })?;
        self.window_rank(window, xd.len() - 2)?;
        let size: Vec<Dim> = size.iter().map(|s| Dim::Known(*s)).collect();
        let channels = xd[channel_axis(window.layout, xd.len())].clone();
        self.windowed(x, x.elem, &size, window, &channels)
    }

    /// C3, as far as it depends on the window alone.
    fn window(&self, window: &Window) -> Result<()> {
        let in_range = |steps: &[u64]| !steps.is_empty() && steps.iter().all(|k| (1..=1 << 31).contains(k));
        let (strides, dilations) = (&window.strides, &window.dilations);
        self.check(3, in_range(strides) && in_range(dilations), || {
            format!("strides {strides:?} and dilations {dilations:?}: expected numbers from 1 to 2^31")
        })?;
        self.window_rank(window, strides.len())
    }

    /// C3: one stride, one dilation and one pair of paddings per spatial axis.
    fn window_rank(&self, window: &Window, spatial: usize) -> Result<()> {
        let (strides, dilations) = (&window.strides, &window.dilations);
        self.check(3, strides.len() == spatial && dilations.len() == spatial, || {
            format!("strides {strides:?} and dilations {dilations:?}: expected {spatial} of each")
        })?;
        match &window.padding {
            Padding::Valid | Padding::Same => Ok(()),
            Padding::Explicit(pads) => {
                self.check(3, pads.len() == spatial, || format!("{} pairs of padding, expected {spatial}", pads.len()))
            }
        }
    }

    fn windowed(&self, x: &Type, elem: ElemType, kernel: &[Dim], window: &Window, channels: &Dim) -> Result<Type> {
        let xd = x.dims.as_deref().unwrap_or_default();
        let first = first_spatial(window.layout);
        let mut out = xd.to_vec();
        out[channel_axis(window.layout, xd.len())] = channels.clone();
        for (i, k) in kernel.iter().enumerate() {
            let (stride, dilation) = (window.strides[i], window.dilations[i]);
            out[first + i] = self.output_extent(&xd[first + i], k, stride, dilation, &window.padding, i)?;
        }
        Ok(Type::new(elem, out))
    }

    /// C6: the window fits into the padded input.
    fn output_extent(
        &self,
        n: &Dim,
        k: &Dim,
        stride: u64,
        dilation: u64,
        padding: &Padding,
        axis: usize,
    ) -> Result<Dim> {
        let padded = match padding {
            Padding::Same => return Ok(n.ceil_div(stride)),
            Padding::Valid => n.clone(),
            Padding::Explicit(pads) => n.plus(&Dim::Known(pads[axis].0.saturating_add(pads[axis].1))),
        };
        let reach = k.offset(-1).times(&Dim::Known(dilation)).offset(1);
        if let (Some(n), Some(r)) = (padded.known(), reach.known()) {
            self.check(6, r <= n, || format!("a window that spans {r} elements does not fit into {n}"))?;
        }
        Ok(padded.minus(&reach).floor_div(stride).offset(1))
    }
}

/// The channel axis of a tensor of rank `rank`.
pub fn channel_axis(layout: Layout, rank: usize) -> usize {
    match layout {
        Layout::ChannelsLast => rank.saturating_sub(1),
        Layout::ChannelsFirst => 1,
    }
}

/// The first spatial axis. Spatial axes are adjacent.
pub fn first_spatial(layout: Layout) -> usize {
    match layout {
        Layout::ChannelsLast => 1,
        Layout::ChannelsFirst => 2,
    }
}
