//! Pass options: their declarations, and the values that a call sets.

use crate::pass::{PassError, PassInfo, Result};
use crate::pipeline::PassCall;
use crate::wording::nearest;

/// One option of a pass.
///
/// ```
/// use netc_pass::{OptionInfo, OptionKind};
///
/// const ITERS: OptionInfo =
///     OptionInfo { name: "iters", kind: OptionKind::Count { default: 8 }, help: "Maximum number of iterations." };
/// assert_eq!(ITERS.kind.describe(), "COUNT (default 8)");
/// ```
pub struct OptionInfo {
    /// Its name in `pass{name=value}`.
    pub name: &'static str,
    /// The kind of value that it takes.
    pub kind: OptionKind,
    /// What it does.
    pub help: &'static str,
}

/// The kind of value that an option takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptionKind {
    /// No value: a flag, set or not.
    Flag,
    /// A whole number.
    Count {
        /// The value if the option is not given.
        default: u64,
    },
    /// One of several words.
    Choice {
        /// The words.
        of: &'static [&'static str],
        /// The word if the option is not given.
        default: &'static str,
    },
    /// One value. Required.
    Text {
        /// Placeholder for the value in help.
        value: &'static str,
    },
    /// One or more values. Required.
    List {
        /// Placeholder for one value in help.
        value: &'static str,
    },
    /// One or more values. Optional.
    OptionalList {
        /// Placeholder for one value in help.
        value: &'static str,
    },
}

impl OptionKind {
    /// The syntax of a value, for help.
    pub fn describe(&self) -> String {
        match self {
            Self::Flag => String::new(),
            Self::Count { default } => format!("COUNT (default {default})"),
            Self::Choice { of, default } => format!("{} (default {default})", of.join(" | ")),
            Self::Text { value } => (*value).into(),
            Self::List { value } | Self::OptionalList { value } => format!("{value},..."),
        }
    }

    /// Returns what is wrong with `values`, if anything.
    fn misfit(&self, values: &[String]) -> Option<String> {
        let found = match values {
            [] => "none".to_string(),
            [one] => format!("`{one}`"),
            many => format!("{} values", many.len()),
        };
        let expected = match (self, values) {
            (Self::Flag, []) | (Self::Text { .. }, [_]) | (Self::List { .. } | Self::OptionalList { .. }, [_, ..]) => {
                return None;
            }
            (Self::Count { .. }, [n]) if n.parse::<u64>().is_ok() => return None,
            (Self::Choice { of, .. }, [word]) if of.contains(&word.as_str()) => return None,
            (Self::Flag, _) => "no value".to_string(),
            (Self::Count { .. }, _) => "a whole number".into(),
            (Self::Choice { of, .. }, _) => format!("one of `{}`", of.join("`, `")),
            (Self::Text { .. }, _) => "one value".into(),
            (Self::List { .. } | Self::OptionalList { .. }, _) => "at least one value".into(),
        };
        Some(format!("takes {expected}, found {found}"))
    }

    fn is_required(&self) -> bool {
        match self {
            Self::Text { .. } | Self::List { .. } => true,
            Self::Flag | Self::Count { .. } | Self::Choice { .. } | Self::OptionalList { .. } => false,
        }
    }
}

/// The checked options of a pass call. Accessors return the default for options that are not given.
pub struct Options<'a> {
    info: &'a PassInfo,
    call: PassCall,
}

impl<'a> Options<'a> {
    /// Checks the options of `call` against `info`. An unnamed option is the pass's first.
    ///
    /// Fails if an option is unknown, repeated, or required but missing, or if a value does not fit.
    pub(crate) fn new(info: &'a PassInfo, call: &PassCall) -> Result<Self> {
        let mut named = PassCall::new(info.name);
        for (name, values) in &call.options {
            let option = find(info, name)?;
            if named.values(option.name).is_some() {
                return Err(PassError::new(format!("option `{}` of pass `{}` is given twice", option.name, info.name)));
            }
            if let Some(note) = option.kind.misfit(values) {
                return Err(PassError::new(format!("option `{}` of pass `{}` {note}", option.name, info.name)));
            }
            named.options.push((option.name.into(), values.clone()));
        }
        let missing = info.options.iter().find(|o| o.kind.is_required() && named.values(o.name).is_none());
        match missing {
            Some(o) => Err(PassError::new(format!(
                "pass `{}` needs the option `{}`, as in `{}={}`",
                info.name,
                o.name,
                info.name,
                o.kind.describe()
            ))),
            None => Ok(Self { info, call: named }),
        }
    }

    /// Whether the flag `name` is set.
    pub fn flag(&self, name: &str) -> bool {
        self.call.values(name).is_some()
    }

    /// The count `name`.
    pub fn count(&self, name: &str) -> u64 {
        let given = self.call.values(name).and_then(|v| v.first()?.parse().ok());
        given.unwrap_or(match self.kind(name) {
            Some(OptionKind::Count { default }) => default,
            Some(
                OptionKind::Flag
                | OptionKind::Choice { .. }
                | OptionKind::Text { .. }
                | OptionKind::List { .. }
                | OptionKind::OptionalList { .. },
            )
            | None => 0,
        })
    }

    /// The word of the choice `name`.
    pub fn choice(&self, name: &str) -> &str {
        let given = self.call.values(name).and_then(|v| v.first()).map(String::as_str);
        given.unwrap_or(match self.kind(name) {
            Some(OptionKind::Choice { default, .. }) => default,
            Some(
                OptionKind::Flag
                | OptionKind::Count { .. }
                | OptionKind::Text { .. }
                | OptionKind::List { .. }
                | OptionKind::OptionalList { .. },
            )
            | None => "",
        })
    }

    /// The text `name`.
    pub fn text(&self, name: &str) -> &str {
        self.call.values(name).and_then(|v| v.first()).map_or("", String::as_str)
    }

    /// The values of the list `name`.
    pub fn list(&self, name: &str) -> &[String] {
        self.call.values(name).unwrap_or_default()
    }

    fn kind(&self, name: &str) -> Option<OptionKind> {
        self.info.options.iter().find(|o| o.name == name).map(|o| o.kind)
    }
}

fn find<'a>(info: &'a PassInfo, name: &str) -> Result<&'a OptionInfo> {
    let found = info.options.iter().enumerate().find(|(i, o)| o.name == name || name.is_empty() && *i == 0);
    found.map(|(_, option)| option).ok_or_else(|| {
        let names: Vec<&str> = info.options.iter().map(|o| o.name).collect();
        let what = if name.is_empty() { "takes no options".into() } else { format!("has no option `{name}`") };
        PassError::new(format!("pass `{}` {what}{}", info.name, nearest(name, &names)))
    })
}

#[cfg(test)]
mod tests {
    use netc_ir::Module;

    use super::*;
    use crate::context::Context;
    use crate::pass::{Fidelity, Pass};
    use crate::pipeline::{PipelineStep, parse_pass};

    struct Nothing;

    impl Pass for Nothing {
        fn run(&self, _: &mut Module, _: &mut Context<'_>) -> Result<()> {
            Ok(())
        }
    }

    const INFO: PassInfo = PassInfo {
        name: "p",
        summary: "",
        help: "",
        fidelity: Fidelity::Exact,
        options: &[
            OptionInfo { name: "at", kind: OptionKind::List { value: "X" }, help: "" },
            OptionInfo { name: "iters", kind: OptionKind::Count { default: 3 }, help: "" },
            OptionInfo {
                name: "cost",
                kind: OptionKind::Choice { of: &["flops", "time"], default: "flops" },
                help: "",
            },
            OptionInfo { name: "relay", kind: OptionKind::Flag, help: "" },
        ],
        build: |_| Ok(Box::new(Nothing)),
    };

    fn options(text: &str) -> Result<Options<'static>> {
        let PipelineStep::Pass(call) = parse_pass(text).unwrap() else { panic!("{text} is not a pass") };
        Options::new(&INFO, &call)
    }

    #[test]
    fn options_have_names_kinds_and_defaults() {
        let given = options("p{at=[a,b],iters=7,cost=time,relay}").unwrap();
        assert_eq!((given.list("at"), given.count("iters")), (&["a".to_string(), "b".into()][..], 7));
        assert_eq!((given.choice("cost"), given.flag("relay")), ("time", true));
        let default = options("p=a").unwrap();
        assert_eq!((default.list("at"), default.count("iters")), (&["a".to_string()][..], 3));
        assert_eq!((default.choice("cost"), default.flag("relay")), ("flops", false));
    }

    #[test]
    fn unknown_missing_and_ill_formed_options_are_errors() {
        for (text, error) in [
            ("p", "pass `p` needs the option `at`, as in `p=X,...`"),
            ("p{at=a,att=a}", "pass `p` has no option `att`; did you mean `at`?"),
            ("p{at=a,iters=many}", "option `iters` of pass `p` takes a whole number, found `many`"),
            ("p{at=a,iters=-1}", "option `iters` of pass `p` takes a whole number, found `-1`"),
            ("p{at=a,cost=x}", "option `cost` of pass `p` takes one of `flops`, `time`, found `x`"),
            ("p{at=a,relay=[a,b]}", "option `relay` of pass `p` takes no value, found 2 values"),
            ("p{at}", "option `at` of pass `p` takes at least one value, found none"),
        ] {
            assert_eq!(options(text).err().map(|e| e.to_string()).as_deref(), Some(error), "{text}");
        }
    }
}
