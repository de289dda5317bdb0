//! Pipelines as data and as text: `split=mixed9,fix{max=4}(dce,cse),@simplify`.
//!
//! ```text
//! pipeline := step ("," step)*
//! step     := "@" NAME | "fix" ["{" "max" "=" COUNT "}"] "(" pipeline ")" | call
//! call     := NAME | NAME "=" value | NAME "{" option ("," option)* "}"
//! option   := NAME | NAME "=" value
//! value    := word | "[" word ("," word)* "]"
//! word     := (WORD | '"' text '"')+
//! ```
//!
//! A `WORD` consists of any characters except blanks and `,[]{}()"=`. Text with other characters must be quoted, whole
//! or in part; inside quotes, `\"` and `\\` are escapes: `split="a,b"`, `split=before:"a,b"+c`.

mod parse;

use std::fmt;
use std::str::FromStr;

pub use parse::{PipelineSyntaxError, parse_pass};

/// Steps that run one after the other. Its `Display` output parses back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pipeline(pub Vec<PipelineStep>);

/// One step of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PipelineStep {
    /// A pass with its options.
    Pass(PassCall),
    /// Steps that repeat until they rewrite nothing, at most `max` times.
    Fix {
        /// The maximum number of rounds.
        max: u64,
        /// The steps of each round.
        body: Pipeline,
    },
    /// A pipeline of the registry. Text: `@name`.
    Named(String),
}

/// The default maximum number of rounds of a `fix`.
pub(crate) const FIX_ROUNDS: u64 = 8;

/// A pass with its options. Its `Display` output parses back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassCall {
    /// The pass.
    pub name: String,
    /// Its options. The option set by `pass=value` has an empty name.
    pub options: Vec<(String, Vec<String>)>,
}

impl PassCall {
    /// A call without options.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), options: Vec::new() }
    }

    /// The values of the option `name`, if it is set.
    pub fn values(&self, name: &str) -> Option<&[String]> {
        self.options.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_slice())
    }
}

impl Pipeline {
    /// The pipeline of `passes`, each the text of a `--pass` option. There `name=a,b` is a list.
    ///
    /// Fails on the first text that is not a pass.
    pub fn of_passes<'t>(passes: impl IntoIterator<Item = &'t str>) -> Result<Self, PipelineSyntaxError> {
        passes.into_iter().map(parse_pass).collect::<Result<Vec<_>, _>>().map(Self)
    }
}

impl FromStr for Pipeline {
    type Err = PipelineSyntaxError;

    fn from_str(text: &str) -> Result<Self, PipelineSyntaxError> {
        parse::pipeline(text)
    }
}

impl From<PassCall> for Pipeline {
    fn from(call: PassCall) -> Self {
        Self(vec![PipelineStep::Pass(call)])
    }
}

impl fmt::Display for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            write!(f, "{}{step}", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl fmt::Display for PipelineStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass(call) => call.fmt(f),
            Self::Fix { max: FIX_ROUNDS, body } => write!(f, "fix({body})"),
            Self::Fix { max, body } => write!(f, "fix{{max={max}}}({body})"),
            Self::Named(name) => write!(f, "@{name}"),
        }
    }
}

impl fmt::Display for PassCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match self.options.as_slice() {
            [] => Ok(()),
            [(name, values)] if name.is_empty() => write!(f, "={}", Values(values)),
            options => {
                for (i, (name, values)) in options.iter().enumerate() {
                    f.write_str(if i == 0 { "{" } else { "," })?;
                    match values.as_slice() {
                        [] => f.write_str(name)?,
                        values => write!(f, "{name}={}", Values(values))?,
                    }
                }
                f.write_str("}")
            }
        }
    }
}

/// Prints one value as a word, any other number of values as a list.
struct Values<'a>(&'a [String]);

impl fmt::Display for Values<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [one] => write!(f, "{}", Word(one)),
            many => {
                f.write_str("[")?;
                for (i, value) in many.iter().enumerate() {
                    write!(f, "{}{}", if i == 0 { "" } else { "," }, Word(value))?;
                }
                f.write_str("]")
            }
        }
    }
}

/// Prints a word, quoted if necessary.
struct Word<'a>(&'a str);

impl fmt::Display for Word<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.is_empty() && self.0.chars().all(parse::is_word) {
            return f.write_str(self.0);
        }
        write!(f, "\"{}\"", self.0.replace('\\', "\\\\").replace('"', "\\\""))
    }
}

/// Formats a value for a pipeline, quoted if necessary.
pub fn spelled(value: &str) -> String {
    Word(value).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, printed: &str) {
        let pipeline: Pipeline = text.parse().unwrap();
        assert_eq!(pipeline.to_string(), printed);
        assert_eq!(printed.parse(), Ok(pipeline));
    }

    #[test]
    fn printing_reverses_parsing() {
        for text in [
            "dce",
            "split=mixed9",
            "split=[a,b]",
            "split=[]",
            "split{at=[a,b],relay}",
            "saturate{iters=8}",
            "fix(dce)",
            "fix{max=4}(dce,fix(cse),@simplify)",
            "@simplify,dce",
            "split=before:x/y@1+#3",
        ] {
            check(text, text);
        }
    }

    #[test]
    fn printing_normalizes_blanks_quotes_and_brackets() {
        check(" dce , fix { max = 8 } ( cse ) ", "dce,fix(cse)");
        check("split = \"mixed9\"", "split=mixed9");
        check("split=[ a , b ]", "split=[a,b]");
        check(r#"split="a, b\"c\\""#, r#"split="a, b\"c\\""#);
        check(r#"split=before:"a,b"+c"#, r#"split="before:a,b+c""#);
        check("p{}", "p");
        check("p{x=[]}", "p{x}");
        check("split=[a]", "split=a");
    }

    #[test]
    fn command_line_passes_take_lists_without_brackets() {
        let pipeline = Pipeline::of_passes(["split=a,b+c", "dce", "fix(cse,dce)"]).unwrap();
        assert_eq!(pipeline.to_string(), "split=[a,b+c],dce,fix(cse,dce)");
        let pipeline = Pipeline::of_passes(["split=two words, f(x)=1"]).unwrap();
        assert_eq!(pipeline.to_string(), r#"split=["two words","f(x)=1"]"#);
        for (text, printed) in [
            (r#"split="a,b",c"#, r#"split=["a,b",c]"#),
            (r#"split=before:"a,b"+m/"c,d""#, r#"split="before:a,b+m/c,d""#),
            (r#"extract="a,b".."c,d" "#, r#"extract="a,b..c,d""#),
            (r#"split=5"x"#, r#"split="5\"x""#),
            (r#"split=" a""#, r#"split=" a""#),
        ] {
            assert_eq!(Pipeline::of_passes([text]).unwrap().to_string(), printed, "{text}");
        }
        assert!(Pipeline::of_passes(["dce,cse"]).is_err(), "one pass per text");
        assert!(Pipeline::of_passes(["split=a,,b"]).is_err(), "a value is missing");
    }

    /// Random values made of all characters with a special role.
    #[test]
    fn every_value_parses_back() {
        let odd: Vec<char> = ",[]{}()\"=\\ +@#%/.:'ab\u{e9}\n".chars().collect();
        let mut state = 1u64;
        let mut next = |n: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % n
        };
        for _ in 0..5000 {
            let mut value = || (0..next(6)).map(|_| odd[next(odd.len())]).collect::<String>();
            let values = vec![value(), value()];
            for values in [values[..1].to_vec(), values] {
                let unnamed = PassCall { name: "p".into(), options: vec![(String::new(), values.clone())] };
                let named =
                    PassCall { name: "p".into(), options: vec![("a".into(), values), ("b".into(), Vec::new())] };
                for call in [unnamed, named] {
                    let (step, printed) = (PipelineStep::Pass(call.clone()), call.to_string());
                    assert_eq!(parse_pass(&printed), Ok(step.clone()), "{printed}");
                    let twice = Pipeline(vec![step.clone(), PipelineStep::Fix { max: 2, body: Pipeline(vec![step]) }]);
                    assert_eq!(twice.to_string().parse(), Ok(twice), "{printed}");
                }
            }
        }
    }

    #[test]
    fn malformed_text_is_an_error_with_its_position() {
        for (text, at, note) in [
            ("", 0, "expected a pass, `fix(...)` or `@name`, found the end"),
            ("dce,", 4, "expected a pass, `fix(...)` or `@name`, found the end"),
            ("=x", 0, "expected a pass, `fix(...)` or `@name`, found `=`"),
            ("split=", 6, "expected a value, found the end"),
            ("split=,", 6, "expected a value, found `,`"),
            ("split{at=a", 10, "expected `,` or `}`, found the end"),
            ("split=[a;", 9, "expected `,` or `]`, found the end"),
            ("sp lit", 3, "expected `,` or the end, found `l`"),
            ("fix(dce", 7, "expected `,` or `)`, found the end"),
            ("fix{max=x}(dce)", 8, "expected a whole number, found `x`"),
            ("fix{min=1}(dce)", 4, "`fix` has only the option `max`, found `min`"),
            ("fix", 3, "expected `(` and the passes to repeat, found the end"),
            ("a=\"b", 4, "the closing quote is missing"),
            ("p{x=a,x=b}", 6, "the option `x` is given twice"),
        ] {
            let error = text.parse::<Pipeline>().unwrap_err();
            assert_eq!((error.at, error.note.as_str()), (at, note), "{text}");
        }
    }

    #[test]
    fn deep_nesting_is_an_error() {
        let deep = |n| format!("{}dce{}", "fix(".repeat(n), ")".repeat(n)).parse::<Pipeline>();
        assert!(deep(16).is_ok());
        assert!(deep(100_000).is_err());
    }
}
