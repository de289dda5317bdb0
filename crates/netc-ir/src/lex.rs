//! A cursor over `.nir` and similar text: reads words, numbers, strings and punctuation, and locates errors.

use std::fmt;

use thiserror::Error;

use crate::attr::{Attr, Attrs, F64, MAX_LEVELS, NonJson};
use crate::dim::Dim;
use crate::id::{FuncId, WeightId};
use crate::name::Name;
use crate::print::is_word_char;
use crate::types::{ElemType, MAX_RANK, Type};

/// A syntax error.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}, column {column}: {message}")]
pub struct ParseError {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What was found and what was expected.
    pub message: String,
}

/// A result whose error locates a syntax error.
pub type Result<T, E = ParseError> = std::result::Result<T, E>;

/// A position in a text. Skips white space, and comments from `;` to the end of the line.
pub struct Cursor<'a> {
    text: &'a str,
    at: usize,
    /// The number of weights defined so far, which attributes may name.
    pub(crate) weights: usize,
    /// The functions that attributes name, with their positions. They may be defined later, so the attribute holds an
    /// index into this list until all functions are known.
    pub(crate) funcs: Vec<(usize, Name)>,
}

impl<'a> Cursor<'a> {
    /// A cursor at the start of `text`.
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0, weights: 0, funcs: Vec::new() }
    }

    /// The position of the next token, for error messages.
    pub fn here(&mut self) -> usize {
        self.skip();
        self.at
    }

    /// Goes back to a position that [`Self::here`] returned.
    pub fn back_to(&mut self, at: usize) {
        self.at = at;
    }

    /// The line of a position, from 1.
    pub fn line_of(&self, at: usize) -> usize {
        self.text.get(..at).unwrap_or(self.text).matches('\n').count() + 1
    }

    /// An error at a position that [`Self::here`] returned.
    pub fn error_at<T>(&self, at: usize, message: impl Into<String>) -> Result<T> {
        let before = self.text.get(..at).unwrap_or(self.text);
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        Err(ParseError { line: self.line_of(at), column, message: message.into() })
    }

    /// An error at the next token: expected `what`.
    pub fn expected<T>(&mut self, what: &str) -> Result<T> {
        let at = self.here();
        let found: String = self.rest().chars().take_while(|c| !c.is_whitespace()).take(24).collect();
        let found = if found.is_empty() { "the end".to_string() } else { format!("`{found}`") };
        self.error_at(at, format!("expected {what}, found {found}"))
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Skips white space and comments.
    fn skip(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            if !trimmed.starts_with(';') {
                return;
            }
            self.at += trimmed.find('\n').unwrap_or(trimmed.len());
        }
    }

    /// Whether no tokens are left.
    pub fn is_at_end(&mut self) -> bool {
        self.skip();
        self.rest().is_empty()
    }

    /// Whether `token` is next.
    pub fn peek(&mut self, token: &str) -> bool {
        self.skip();
        self.rest().starts_with(token)
    }

    /// Consumes `token` if it is next.
    pub fn eat(&mut self, token: &str) -> bool {
        let found = self.peek(token);
        if found {
            self.at += token.len();
        }
        found
    }

    /// Consumes `token`, which must be next.
    pub fn expect(&mut self, token: &str) -> Result<()> {
        if self.eat(token) { Ok(()) } else { self.expected(&format!("`{token}`")) }
    }

    fn bare_word(&mut self) -> &'a str {
        self.run(is_word_char)
    }

    /// Consumes characters from the next token on while `belongs` holds. May be empty.
    pub fn run(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        self.skip();
        let rest = self.rest();
        let end = rest.find(|c| !belongs(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    /// Consumes `word` if it is the next whole word.
    pub fn eat_word(&mut self, word: &str) -> bool {
        let start = self.here();
        let found = self.bare_word() == word;
        if !found {
            self.at = start;
        }
        found
    }

    /// A word or a string.
    pub fn word(&mut self, what: &str) -> Result<Name> {
        if self.peek("\"") {
            return self.string();
        }
        let word = self.bare_word();
        if word.is_empty() { self.expected(what) } else { Ok(word.into()) }
    }

    /// Consumes an entity such as `w12`, a prefix and a number, if one is next.
    pub(crate) fn eat_entity(&mut self, prefix: &str) -> Option<usize> {
        let start = self.here();
        let number = self.bare_word().strip_prefix(prefix).and_then(|n| n.parse().ok());
        if number.is_none() {
            self.at = start;
        }
        number
    }

    pub(crate) fn entity(&mut self, prefix: &str) -> Result<usize> {
        match self.eat_entity(prefix) {
            Some(n) => Ok(n),
            None => self.expected(&format!("`{prefix}` followed by a number")),
        }
    }

    /// A value: `%` and its name or number. A quoted number is a name.
    pub(crate) fn value(&mut self) -> Result<ValueToken> {
        self.expect("%")?;
        if self.rest().starts_with('"') {
            return Ok(ValueToken::Named(self.string()?));
        }
        let at = self.at;
        match self.bare_word() {
            "" => self.error_at(at, "expected the name of a value"),
            word => Ok(match word.parse() {
                Ok(number) => ValueToken::Numbered(number),
                Err(_) => ValueToken::Named(word.into()),
            }),
        }
    }

    /// A quoted string.
    pub fn string(&mut self) -> Result<Name> {
        self.expect("\"")?;
        let start = self.at;
        let mut out = String::new();
        let mut chars = self.rest().char_indices();
        while let Some((i, c)) = chars.next() {
            match c {
                '"' => {
                    self.at = start + i + 1;
                    return Ok(out.into());
                }
                '\\' => match chars.next() {
                    Some((_, 'n')) => out.push('\n'),
                    Some((_, 't')) => out.push('\t'),
                    Some((_, c @ ('"' | '\\'))) => out.push(c),
                    Some((_, 'u')) => match char_code(chars.as_str()) {
                        Some((c, len)) => {
                            out.push(c);
                            chars.nth(len - 1);
                        }
                        None => return self.error_at(start + i, "expected a character code, as in `\\u{1f}`"),
                    },
                    _ => return self.error_at(start + i, "expected an escape: \\n, \\t, \\\", \\\\ or \\u{...}"),
                },
                c => out.push(c),
            }
        }
        self.error_at(start, "the string is not closed")
    }

    /// An integer of 0 or more.
    pub fn u64(&mut self) -> Result<u64> {
        let at = self.here();
        match self.bare_word().parse() {
            Ok(n) => Ok(n),
            Err(_) => {
                self.at = at;
                self.expected("an integer of 0 or more")
            }
        }
    }

    pub(crate) fn u32(&mut self) -> Result<u32> {
        let at = self.here();
        let n = self.u64()?;
        u32::try_from(n).or_else(|_| self.error_at(at, format!("{n} is larger than {}", u32::MAX)))
    }

    pub(crate) fn f64(&mut self) -> Result<F64> {
        match self.number() {
            Some(Attr::Float(x)) => Ok(x),
            Some(Attr::Int(i)) => Ok(F64::new(i as f64)),
            _ => self.expected("a number"),
        }
    }

    /// Consumes a number, if one is next. A decimal point, an exponent, `inf` or `NaN` makes it a float.
    pub fn number(&mut self) -> Option<Attr> {
        let start = self.here();
        let rest = self.rest();
        let end = number_len(rest);
        let text = &rest[..end];
        let number = match text.parse::<i128>() {
            Ok(i) => Some(Attr::Int(i)),
            Err(_)
                if matches!(text, "inf" | "-inf" | "NaN")
                    || text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) =>
            {
                text.parse().ok().map(|x| Attr::Float(F64::new(x)))
            }
            Err(_) => None,
        };
        self.at = if number.is_some() { start + end } else { start };
        number
    }

    /// A type such as `f32[N,2*N+1]`, `f32[]` or `f32[*]`.
    pub(crate) fn ty(&mut self) -> Result<Type> {
        let at = self.here();
        let Some(elem) = ElemType::parse(self.bare_word()) else {
            self.at = at;
            return self.expected("an element type such as f32");
        };
        self.expect("[")?;
        let at = self.at;
        let Some(end) = self.rest().find(']') else { return self.error_at(at, "the shape has no `]`") };
        let inner = &self.rest()[..end];
        self.at += end + 1;
        if inner.trim() == "*" {
            return Ok(Type::unranked(elem));
        }
        let mut dims = Vec::new();
        for part in split_dims(inner) {
            if dims.len() == MAX_RANK {
                return self.error_at(at, format!("the shape has more than {MAX_RANK} axes"));
            }
            match Dim::parse(part) {
                Some(dim) => dims.push(dim),
                None => return self.error_at(at, format!("`{}` is not a dimension", part.trim())),
            }
        }
        Ok(Type::new(elem, dims))
    }

    /// `{key = value, ...}`, or nothing.
    pub(crate) fn attrs(&mut self) -> Result<Attrs> {
        if self.peek("{") { self.map(0) } else { Ok(Attrs::new()) }
    }

    fn map(&mut self, depth: usize) -> Result<Attrs> {
        self.expect("{")?;
        let mut attrs = Attrs::new();
        while !self.eat("}") {
            let key = self.word("a key or `}`")?;
            self.expect("=")?;
            attrs.push(key, self.attr_within(depth + 1)?);
            if !self.eat(",") && !self.peek("}") {
                return self.expected("`,` or `}`");
            }
        }
        Ok(attrs)
    }

    pub(crate) fn attr(&mut self) -> Result<Attr> {
        self.attr_within(0)
    }

    fn attr_within(&mut self, depth: usize) -> Result<Attr> {
        if depth > MAX_LEVELS {
            let at = self.here();
            return self.error_at(at, format!("attributes nest deeper than {MAX_LEVELS} levels"));
        }
        if self.peek("\"") {
            return self.string().map(Attr::Str);
        }
        if self.peek("{") {
            return self.map(depth).map(Attr::Map);
        }
        if self.eat("[") {
            let mut items = Vec::new();
            while !self.eat("]") {
                items.push(self.attr_within(depth + 1)?);
                if !self.eat(",") && !self.peek("]") {
                    return self.expected("`,` or `]`");
                }
            }
            return Ok(Attr::List(items));
        }
        if self.eat("$") {
            return self.u32().map(Attr::Operand);
        }
        let at = self.here();
        if self.eat("@") {
            let name = self.word("the name of a function")?;
            self.funcs.push((at, name));
            return Ok(NonJson::Func(FuncId::new(self.funcs.len() - 1)).into());
        }
        if self.eat("bytes(") {
            return self.bytes();
        }
        match self.eat_entity("w") {
            Some(n) if n < self.weights => return Ok(NonJson::Weight(WeightId::new(n)).into()),
            Some(n) => return self.error_at(at, format!("`w{n}` is not defined above")),
            None => {}
        }
        if let Some(number) = self.number() {
            return Ok(number);
        }
        for (word, attr) in [("null", Attr::Null), ("true", Attr::Bool(true)), ("false", Attr::Bool(false))] {
            if self.eat_word(word) {
                return Ok(attr);
            }
        }
        self.expected(
            "a value: null, true, false, a number, a string, bytes, a list, a map, a weight such as w0, a function such as \
             @f or an operand such as $0",
        )
    }

    /// The rest of an attribute that begins with `bytes(`.
    fn bytes(&mut self) -> Result<Attr> {
        let at = self.here();
        let digits = self.string()?;
        let Some(bytes) = bytes_of(&digits) else {
            return self.error_at(at, "expected two hexadecimal digits per byte");
        };
        self.expect(")")?;
        Ok(NonJson::Bytes(bytes.into()).into())
    }
}

/// Decodes two hexadecimal digits per byte.
fn bytes_of(digits: &str) -> Option<Vec<u8>> {
    let value = |digit: u8| char::from(digit).to_digit(16).map(|n| n as u8);
    let pairs = digits.as_bytes().chunks(2).map(|pair| match pair {
        [high, low] => Some(value(*high)? << 4 | value(*low)?),
        _ => None,
    });
    pairs.collect()
}

/// The length of a possible number at the start of `text`. It may begin with a minus, and its exponent with a sign.
fn number_len(text: &str) -> usize {
    let mut before = None;
    let ends = |c: char| {
        let is_part = match c {
            '-' if before.is_none() => true,
            '+' | '-' => matches!(before, Some('e' | 'E')),
            c => c.is_ascii_alphanumeric() || matches!(c, '_' | '.'),
        };
        before = Some(c);
        !is_part
    };
    text.find(ends).unwrap_or(text.len())
}

/// Decodes `{hex digits}` at the start of `text`. Returns the character and the length of the text.
fn char_code(text: &str) -> Option<(char, usize)> {
    let (digits, _) = text.strip_prefix('{')?.split_once('}')?;
    let is_hex = digits.chars().all(|c| c.is_ascii_hexdigit());
    let code = u32::from_str_radix(digits, 16).ok().filter(|_| is_hex)?;
    Some((char::from_u32(code)?, digits.len() + 2))
}

/// A value as spelled in the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ValueToken {
    Named(Name),
    Numbered(u32),
}

impl fmt::Display for ValueToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => write!(f, "%{name}"),
            Self::Numbered(number) => write!(f, "%{number}"),
        }
    }
}

/// Splits at the commas outside `floor(P, k)`. An empty shape has no parts.
fn split_dims(inner: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0i32, 0);
    for (i, c) in inner.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&inner[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    if !(parts.is_empty() && inner.trim().is_empty()) {
        parts.push(&inner[start..]);
    }
    parts
}
