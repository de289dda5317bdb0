//! Parses the text of pipelines.

use thiserror::Error;

use super::{FIX_ROUNDS, PassCall, Pipeline, PipelineStep};

/// Why text is not a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not a pipeline: at character {}: {note}", at + 1)]
pub struct PipelineSyntaxError {
    /// The text.
    pub text: String,
    /// The position in it, in characters from 0.
    pub at: usize,
    /// What was found and what was expected.
    pub note: String,
}

/// The maximum nesting depth of `fix`.
const MAX_DEPTH: usize = 32;

pub(super) fn pipeline(text: &str) -> Result<Pipeline, PipelineSyntaxError> {
    let mut parser = Parser::new(text);
    let pipeline = parser.pipeline(0)?;
    parser.end("`,` or the end")?;
    Ok(pipeline)
}

/// Parses one `--pass` argument: a step of a pipeline. In `name=a,b` the list needs no brackets, and an unquoted value
/// may contain any character except a comma. A quote begins quoted text only where a name begins, as in `before:"a,b"`;
/// elsewhere it is an ordinary character.
pub fn parse_pass(text: &str) -> Result<PipelineStep, PipelineSyntaxError> {
    let mut parser = Parser::new(text);
    let step = match text.split_once('=') {
        Some((name, _)) if name.trim().chars().all(is_name) && !name.trim().is_empty() => {
            let name = parser.name("a pass")?;
            parser.expect('=', "`=`")?;
            PipelineStep::Pass(PassCall { name, options: vec![(String::new(), parser.bare_values()?)] })
        }
        _ => parser.step(0)?,
    };
    parser.end("the end (`--pass` takes one pass, `--pipeline` several)")?;
    Ok(step)
}

/// Whether `c` may be part of an unquoted word.
pub(super) fn is_word(c: char) -> bool {
    !c.is_whitespace() && !",[]{}()\"=".contains(c)
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

struct Parser<'t> {
    text: &'t str,
    chars: Vec<char>,
    at: usize,
}

impl<'t> Parser<'t> {
    fn new(text: &'t str) -> Self {
        Self { text, chars: text.chars().collect(), at: 0 }
    }

    fn pipeline(&mut self, depth: usize) -> Result<Pipeline, PipelineSyntaxError> {
        let mut steps = vec![self.step(depth)?];
        while self.take(',') {
            steps.push(self.step(depth)?);
        }
        Ok(Pipeline(steps))
    }

    fn step(&mut self, depth: usize) -> Result<PipelineStep, PipelineSyntaxError> {
        const WHAT: &str = "a pass, `fix(...)` or `@name`";
        if self.take('@') {
            return self.name("the name of a pipeline").map(PipelineStep::Named);
        }
        let name = self.name(WHAT)?;
        if name == "fix" {
            return self.fix(depth);
        }
        let options = match self.peek() {
            Some('=') => {
                self.at += 1;
                vec![(String::new(), self.values()?)]
            }
            Some('{') => self.options()?,
            Some(_) | None => Vec::new(),
        };
        Ok(PipelineStep::Pass(PassCall { name, options }))
    }

    fn fix(&mut self, depth: usize) -> Result<PipelineStep, PipelineSyntaxError> {
        if depth == MAX_DEPTH {
            return Err(self.error(format!("`fix` nests deeper than {MAX_DEPTH}")));
        }
        let max = if self.take('{') { self.rounds()? } else { FIX_ROUNDS };
        self.expect('(', "`(` and the passes to repeat")?;
        let body = self.pipeline(depth + 1)?;
        self.expect(')', "`,` or `)`")?;
        Ok(PipelineStep::Fix { max, body })
    }

    /// Parses the rest of `{max=4}`.
    fn rounds(&mut self) -> Result<u64, PipelineSyntaxError> {
        let start = self.skip_blanks();
        let name = self.name("`max`")?;
        if name != "max" {
            self.at = start;
            return Err(self.error(format!("`fix` has only the option `max`, found `{name}`")));
        }
        self.expect('=', "`=`")?;
        let start = self.skip_blanks();
        let count = self.word()?;
        let Ok(count) = count.parse() else {
            self.at = start;
            return Err(self.error(format!("expected a whole number, found `{count}`")));
        };
        self.expect('}', "`}`")?;
        Ok(count)
    }

    fn options(&mut self) -> Result<Vec<(String, Vec<String>)>, PipelineSyntaxError> {
        self.expect('{', "`{`")?;
        let mut options: Vec<(String, Vec<String>)> = Vec::new();
        if self.take('}') {
            return Ok(options);
        }
        loop {
            let start = self.skip_blanks();
            let name = self.name("an option")?;
            if options.iter().any(|(known, _)| *known == name) {
                self.at = start;
                return Err(self.error(format!("the option `{name}` is given twice")));
            }
            let values = if self.take('=') { self.values()? } else { Vec::new() };
            options.push((name, values));
            if self.take('}') {
                return Ok(options);
            }
            self.expect(',', "`,` or `}`")?;
        }
    }

    fn values(&mut self) -> Result<Vec<String>, PipelineSyntaxError> {
        if !self.take('[') {
            return Ok(vec![self.word()?]);
        }
        let mut values = Vec::new();
        if self.take(']') {
            return Ok(values);
        }
        loop {
            values.push(self.word()?);
            if self.take(']') {
                return Ok(values);
            }
            self.expect(',', "`,` or `]`")?;
        }
    }

    /// Parses values up to the end of the text, with or without brackets.
    fn bare_values(&mut self) -> Result<Vec<String>, PipelineSyntaxError> {
        if self.peek() == Some('[') {
            return self.values();
        }
        let mut values = Vec::new();
        loop {
            values.push(self.bare_value()?);
            if !self.take(',') {
                return Ok(values);
            }
        }
    }

    /// Parses a value up to a comma or the end, and trims it.
    fn bare_value(&mut self) -> Result<String, PipelineSyntaxError> {
        const BEFORE_NAMES: [&str; 4] = ["before:", "+", "/", ".."];
        let start = self.skip_blanks();
        let (mut value, mut end) = (String::new(), 0);
        while let Some(c) = self.chars.get(self.at).copied().filter(|c| *c != ',') {
            self.at += 1;
            let begins_name = value.is_empty() || BEFORE_NAMES.iter().any(|before| value.ends_with(before));
            if c == '"' && begins_name {
                value.push_str(&self.quoted()?);
                end = value.len();
            } else {
                value.push(c);
                end = if c.is_whitespace() { end } else { value.len() };
            }
        }
        if self.at == start {
            return Err(self.expected("a value"));
        }
        value.truncate(end);
        Ok(value)
    }

    /// Parses a word: any sequence of word characters and quoted texts.
    fn word(&mut self) -> Result<String, PipelineSyntaxError> {
        let start = self.skip_blanks();
        let mut word = String::new();
        while let Some(c) = self.chars.get(self.at).copied().filter(|c| *c == '"' || is_word(*c)) {
            self.at += 1;
            if c == '"' { word.push_str(&self.quoted()?) } else { word.push(c) }
        }
        if self.at == start { Err(self.expected("a value")) } else { Ok(word) }
    }

    /// Parses the rest of a quoted text.
    fn quoted(&mut self) -> Result<String, PipelineSyntaxError> {
        let mut word = String::new();
        while let Some(c) = self.chars.get(self.at).copied() {
            self.at += 1;
            match (c, self.chars.get(self.at)) {
                ('"', _) => return Ok(word),
                ('\\', Some(escaped @ ('"' | '\\'))) => {
                    word.push(*escaped);
                    self.at += 1;
                }
                _ => word.push(c),
            }
        }
        Err(self.error("the closing quote is missing".into()))
    }

    fn name(&mut self, what: &str) -> Result<String, PipelineSyntaxError> {
        self.run(is_name, what)
    }

    /// Parses one or more characters that satisfy `belongs`.
    fn run(&mut self, belongs: impl Fn(char) -> bool, what: &str) -> Result<String, PipelineSyntaxError> {
        let start = self.skip_blanks();
        let run: String = self.chars[start..].iter().copied().take_while(|c| belongs(*c)).collect();
        if run.is_empty() {
            return Err(self.expected(what));
        }
        self.at += run.chars().count();
        Ok(run)
    }

    fn skip_blanks(&mut self) -> usize {
        while self.chars.get(self.at).is_some_and(|c| c.is_whitespace()) {
            self.at += 1;
        }
        self.at
    }

    fn peek(&mut self) -> Option<char> {
        let at = self.skip_blanks();
        self.chars.get(at).copied()
    }

    fn take(&mut self, c: char) -> bool {
        let found = self.peek() == Some(c);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, c: char, what: &str) -> Result<(), PipelineSyntaxError> {
        if self.take(c) { Ok(()) } else { Err(self.expected(what)) }
    }

    fn end(&mut self, what: &str) -> Result<(), PipelineSyntaxError> {
        if self.peek().is_none() { Ok(()) } else { Err(self.expected(what)) }
    }

    fn expected(&mut self, what: &str) -> PipelineSyntaxError {
        let found = self.peek().map_or_else(|| "the end".into(), |c| format!("`{c}`"));
        self.error(format!("expected {what}, found {found}"))
    }

    fn error(&self, note: String) -> PipelineSyntaxError {
        PipelineSyntaxError { text: self.text.into(), at: self.at, note }
    }
}
