//! Prints and parses polynomials. The grammar is in `ir-spec/types.md`.

use std::fmt;

use super::poly::{Atom, MAX_DEPTH, Poly};

impl fmt::Display for Poly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Monomials with symbols first, the constant last: `2*N+1`.
        let constant = self.0.get(&Vec::new());
        let symbolic = self.0.iter().filter(|(atoms, _)| !atoms.is_empty());
        let mut first = true;
        for (atoms, k) in symbolic {
            if *k < 0 {
                f.write_str("-")?;
            } else if !first {
                f.write_str("+")?;
            }
            first = false;
            if k.unsigned_abs() != 1 {
                write!(f, "{}*", k.unsigned_abs())?;
            }
            for (i, atom) in atoms.iter().enumerate() {
                if i > 0 {
                    f.write_str("*")?;
                }
                match atom {
                    Atom::Symbol(name) => f.write_str(name)?,
                    Atom::Floor(p, k) => write!(f, "floor({p}, {k})")?,
                }
            }
        }
        match constant {
            Some(k) if first => write!(f, "{k}"),
            Some(k) => write!(f, "{k:+}"),
            None if first => f.write_str("0"),
            None => Ok(()),
        }
    }
}

/// Whether `text` parses as one symbol.
pub(super) fn is_symbol(text: &str) -> bool {
    !text.is_empty() && !starts_as_number(text) && text.chars().all(is_symbol_char)
}

fn starts_as_number(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit())
}

fn is_symbol_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Parses a polynomial. Returns `None` if the text is malformed or the polynomial too large.
pub(super) fn parse(text: &str) -> Option<Poly> {
    let mut p = PolyParser { rest: text, depth: 0 };
    let poly = p.sum()?;
    p.skip();
    p.rest.is_empty().then_some(poly)
}

struct PolyParser<'a> {
    rest: &'a str,
    depth: usize,
}

impl PolyParser<'_> {
    fn skip(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn eat(&mut self, c: char) -> bool {
        self.skip();
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn sum(&mut self) -> Option<Poly> {
        let mut total = Poly::default();
        let mut sign = if self.eat('-') { -1 } else { 1 };
        loop {
            total = total.plus(sign, &self.product()?)?;
            sign = if self.eat('+') {
                1
            } else if self.eat('-') {
                -1
            } else {
                return Some(total);
            };
        }
    }

    fn product(&mut self) -> Option<Poly> {
        let mut total = self.atom()?;
        while self.eat('*') {
            total = total.times(&self.atom()?)?;
        }
        Some(total)
    }

    fn atom(&mut self) -> Option<Poly> {
        self.skip();
        let end = self.rest.find(|c| !is_symbol_char(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        if starts_as_number(word) {
            return word.parse().ok().map(Poly::constant);
        }
        if word == "floor" && self.eat('(') {
            self.depth += 1;
            let inner = (self.depth < MAX_DEPTH).then(|| self.sum())??;
            self.depth -= 1;
            let k = self.eat(',').then(|| self.atom())??.as_constant().filter(|k| *k > 0)?;
            return self.eat(')').then(|| inner.floor_div(k))?;
        }
        (!word.is_empty()).then(|| Poly::symbol(word.into()))
    }
}
