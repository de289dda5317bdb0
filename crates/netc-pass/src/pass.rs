//! What a pass is, and the table of passes.

use std::fmt;

use netc_ir::{Loc, Module};
use thiserror::Error;

use crate::lowering::Dialects;
use crate::text::{PassCall, nearest};

/// A transform of a module.
pub trait Pass {
    /// Rewrites `module`. On an error the module is as it was.
    fn run(&self, module: &mut Module, context: &mut Context<'_>) -> Result<(), PassError>;
}

/// What a pass may use besides the module.
pub struct Context<'a> {
    /// The meaning of source ops.
    pub dialects: &'a Dialects,
    /// What passes have to say to the user, in order.
    pub remarks: Vec<Remark>,
}

impl<'a> Context<'a> {
    /// A context without remarks.
    pub fn new(dialects: &'a Dialects) -> Self {
        Self { dialects, remarks: Vec::new() }
    }

    /// Tells the user what `pass` did or could not do at `loc`.
    pub fn remark(&mut self, pass: &'static str, loc: Loc, text: impl Into<String>) {
        self.remarks.push(Remark { pass, loc, text: text.into() });
    }
}

/// What a pass has to say about a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// The pass.
    pub pass: &'static str,
    /// The place.
    pub loc: Loc,
    /// What it says.
    pub text: String,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.pass)?;
        if self.loc != Loc::Unknown {
            write!(f, "{}: ", self.loc)?;
        }
        f.write_str(&self.text)
    }
}

/// Why a pass cannot do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct PassError(pub String);

/// One option of a pass.
pub struct OptionInfo {
    /// Its name in `pass{name=value}`.
    pub name: &'static str,
    /// What its value looks like.
    pub value: &'static str,
    /// What it does.
    pub help: &'static str,
}

/// A pass as users see it: everything about it that they can name.
pub struct PassInfo {
    /// Its name, as in `--pass name`.
    pub name: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// What it does, in full, as Markdown.
    pub help: &'static str,
    /// Its options. The first is the one that `pass=value` sets.
    pub options: &'static [OptionInfo],
    /// Makes the pass from its options.
    pub build: fn(&PassCall) -> Result<Box<dyn Pass>, PassError>,
}

/// The passes that pipelines may name.
pub struct Registry(Vec<&'static PassInfo>);

impl Registry {
    /// The passes of `table`.
    pub fn new(table: &[&'static PassInfo]) -> Self {
        Self(table.to_vec())
    }

    /// Adds a pass.
    pub fn register(&mut self, info: &'static PassInfo) {
        self.0.push(info);
    }

    /// The passes, in order.
    pub fn iter(&self) -> impl Iterator<Item = &'static PassInfo> + '_ {
        self.0.iter().copied()
    }

    /// The pass that `call` names, made from its options.
    pub fn build(&self, call: &PassCall) -> Result<Box<dyn Pass>, PassError> {
        let Some(info) = self.0.iter().find(|p| p.name == call.name) else {
            let names: Vec<&str> = self.0.iter().map(|p| p.name).collect();
            return Err(PassError(format!("there is no pass `{}`{}", call.name, nearest(&call.name, &names))));
        };
        (info.build)(&named_options(info, call)?)
    }
}

/// The call with the unnamed option under its name. Options that the pass does not have, or that stand twice, are
/// errors.
fn named_options(info: &PassInfo, call: &PassCall) -> Result<PassCall, PassError> {
    let mut named = PassCall { name: call.name.clone(), options: Vec::new() };
    for (name, values) in &call.options {
        let Some(option) = info.options.iter().enumerate().find(|(i, o)| o.name == name || name.is_empty() && *i == 0)
        else {
            let names: Vec<&str> = info.options.iter().map(|o| o.name).collect();
            let what = if name.is_empty() { "takes no value".into() } else { format!("has no option `{name}`") };
            return Err(PassError(format!("pass `{}` {what}{}", call.name, nearest(name, &names))));
        };
        let name = option.1.name;
        if named.values(name).is_some() {
            return Err(PassError(format!("pass `{}` has the option `{name}` twice", call.name)));
        }
        named.options.push((name.into(), values.clone()));
    }
    Ok(named)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::parse_pipeline;

    struct Nothing;

    impl Pass for Nothing {
        fn run(&self, _: &mut Module, _: &mut Context<'_>) -> Result<(), PassError> {
            Ok(())
        }
    }

    const OPTION: OptionInfo = OptionInfo { name: "at", value: "X", help: "" };
    const INFO: PassInfo = PassInfo {
        name: "p",
        summary: "",
        help: "",
        options: &[OPTION],
        build: |call| match call.values("at") {
            Some([x]) if x == "a" => Ok(Box::new(Nothing)),
            values => Err(PassError(format!("{values:?}"))),
        },
    };

    fn check(text: &str, error: &str) {
        let built = Registry::new(&[&INFO]).build(&parse_pipeline(text).unwrap());
        assert_eq!(built.map(|_| ()).map_err(|e| e.0).err().unwrap_or_default(), error, "{text}");
    }

    #[test]
    fn options_have_names_and_stand_once() {
        check("p=a", "");
        check("p{at=a}", "");
        check("p", "None");
        check("p{at=a,at=a}", "pass `p` has the option `at` twice");
        check("p{att=a}", "pass `p` has no option `att`; did you mean `at`?");
        check("q", "there is no pass `q`");
    }
}
