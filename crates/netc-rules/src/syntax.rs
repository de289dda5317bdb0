//! Parses the text of rules. The grammar is in the crate's documentation.

use netc_ir::attr::F64;
use netc_ir::lex::{Cursor, Result};
use netc_ir::{CORE_OPS, ElemType, Name};
use netc_pass::{Fidelity, nearest};

use crate::check::{misfit, unfit};
use crate::function::{self, FUNCTIONS};
use crate::rule::{Condition, DimKind, ElemKind, Expr, Hole, HoleKind, OpTerm, Relation, Rule, TensorKind, Term};
use crate::value::Value;

/// The maximum nesting depth of terms and expressions.
const MAX_DEPTH: usize = 64;

/// The maximum number of operators in a rule. Operators nest to the left, so each adds a level to the expression.
const MAX_OPERATORS: usize = 256;

/// Parses rules. `<=>` gives two rules; the second has the suffix `-back`.
///
/// Checks that every hole on the right also occurs on the left, and that every op exists and has these operands and
/// attributes. Does not check that the rules are true: [`crate::check()`] tests that.
pub fn parse(text: &str) -> Result<Vec<Rule>> {
    let mut cursor = Cursor::new(text);
    let mut rules: Vec<Rule> = Vec::new();
    while !cursor.is_at_end() {
        let at = cursor.here();
        for rule in Parser::new(&mut cursor).rule()? {
            if rules.iter().any(|known| known.name == rule.name) {
                return cursor.error_at(at, format!("two rules are called `{}`", rule.name));
            }
            rules.push(rule);
        }
    }
    Ok(rules)
}

struct Parser<'c, 'a> {
    cursor: &'c mut Cursor<'a>,
    holes: Vec<Hole>,
    /// Whether terms may introduce new holes, as the terms to match do.
    matched: bool,
    /// The number of operators so far.
    operators: usize,
}

impl<'c, 'a> Parser<'c, 'a> {
    fn new(cursor: &'c mut Cursor<'a>) -> Self {
        Self { cursor, holes: Vec::new(), matched: true, operators: 0 }
    }

    fn rule(mut self) -> Result<Vec<Rule>> {
        let at = self.cursor.here();
        let line = self.cursor.line_of(at);
        let name = self.cursor.word("the name of a rule")?;
        let rounding = self.cursor.eat_word("rounding");
        let fidelity = if rounding { Fidelity::Rounding } else { Fidelity::Exact };
        if !self.cursor.eat(":") {
            return self.cursor.expected("`:` after the rule name (a rule begins with `name:` or `name rounding:`)");
        }
        let from = self.terms()?;
        let both = self.cursor.eat("<=>");
        if !both {
            self.cursor.expect("=>")?;
        }
        self.matched = both;
        let known = self.holes.len();
        let to = self.terms()?;
        if both && self.holes.len() > known {
            let new = &self.holes[known].name;
            return self.cursor.error_at(at, format!("the hole `?{new}` occurs on only one side of `<=>`"));
        }
        self.matched = false;
        let conditions = if self.cursor.eat_word("where") { self.conditions()? } else { Vec::new() };
        let rule = Rule { name, fidelity, from, to, conditions, holes: self.holes, line };
        for side in [&rule.from, &rule.to].into_iter().take(1 + usize::from(both)) {
            if let Some(note) = misfit(&rule, side) {
                return self.cursor.error_at(at, note);
            }
        }
        if rule.from.len() != rule.to.len() {
            let (from, to) = (rule.from.len(), rule.to.len());
            return self.cursor.error_at(at, format!("the left side has {from} terms, but the right side has {to}"));
        }
        Ok(if both { vec![rule.clone(), rule.reversed()] } else { vec![rule] })
    }

    fn terms(&mut self) -> Result<Vec<Term>> {
        let mut terms = vec![self.term(0)?];
        while self.cursor.eat(",") {
            terms.push(self.term(0)?);
        }
        Ok(terms)
    }

    fn term(&mut self, depth: usize) -> Result<Term> {
        if depth > MAX_DEPTH {
            let at = self.cursor.here();
            return self.cursor.error_at(at, format!("terms nest deeper than {MAX_DEPTH}"));
        }
        if self.cursor.peek("?") {
            let at = self.cursor.here();
            let name = self.hole_name()?;
            let kind = if self.cursor.eat(":") { Some(self.tensor_kind()?) } else { None };
            return self.tensor(at, &name, kind).map(Term::Hole);
        }
        if let Some(number) = self.cursor.number() {
            return Ok(Term::Number(F64::new(number.as_f64().unwrap_or_default())));
        }
        self.op(depth).map(Term::Op)
    }

    /// Resolves the hole at `at` as a tensor.
    fn tensor(&mut self, at: usize, name: &str, kind: Option<TensorKind>) -> Result<usize> {
        let typed = kind.is_some();
        self.hole(at, name, HoleKind::Tensor(kind.unwrap_or_default()), !typed)
    }

    /// Returns the number of the hole called `name`, adding it if it is new. Fails if it is known with another kind. A
    /// tensor has its type at its first occurrence; later ones need only the name (`any_tensor`).
    fn hole(&mut self, at: usize, name: &str, kind: HoleKind, any_tensor: bool) -> Result<usize> {
        let Some(known) = self.holes.iter().position(|h| &*h.name == name) else {
            if !self.matched {
                return self.cursor.error_at(at, format!("the hole `?{name}` does not occur in the terms to match"));
            }
            self.holes.push(Hole { name: name.into(), kind });
            return Ok(self.holes.len() - 1);
        };
        let found = &self.holes[known].kind;
        if *found == kind || any_tensor && matches!(found, HoleKind::Tensor(_)) {
            return Ok(known);
        }
        let note = match (found, &kind) {
            (HoleKind::Tensor(_), HoleKind::Tensor(_)) => "has another type at its first occurrence".into(),
            (found, kind) => format!("stands for {kind} here, but for {found} elsewhere"),
        };
        self.cursor.error_at(at, format!("the hole `?{name}` {note}"))
    }

    fn hole_name(&mut self) -> Result<Name> {
        self.cursor.expect("?")?;
        let name = self.cursor.run(|c| c.is_ascii_alphanumeric() || c == '_');
        if name.is_empty() { self.cursor.expected("the name of a hole after `?`") } else { Ok(name.into()) }
    }

    /// Parses `const f32[_, 3, ?n]` or parts of it.
    fn tensor_kind(&mut self) -> Result<TensorKind> {
        let constant = self.cursor.eat_word("const");
        let (at, word) = (self.cursor.here(), self.cursor.run(|c| c.is_ascii_alphanumeric()));
        let elem = match word {
            "" => ElemKind::Any,
            "float" => ElemKind::Float,
            "int" => ElemKind::Int,
            word => match ElemType::parse(word) {
                Some(elem) => ElemKind::Only(elem),
                None => {
                    return self.cursor.error_at(at, format!("no such type: `{word}`; use `float`, `int`, `f32`, ..."));
                }
            },
        };
        let dims = if self.cursor.eat("[") { Some(self.dims()?) } else { None };
        Ok(TensorKind { constant, elem, dims })
    }

    fn dims(&mut self) -> Result<Vec<DimKind>> {
        let mut dims = Vec::new();
        while !self.cursor.eat("]") {
            let at = self.cursor.here();
            dims.push(if self.cursor.eat_word("_") {
                DimKind::Any
            } else if self.cursor.peek("?") {
                let name = self.hole_name()?;
                DimKind::Hole(self.hole(at, &name, HoleKind::Value, false)?)
            } else {
                DimKind::Known(self.cursor.u64()?)
            });
            self.separator("]")?;
        }
        Ok(dims)
    }

    fn separator(&mut self, end: &str) -> Result<()> {
        if self.cursor.eat(",") || self.cursor.peek(end) {
            Ok(())
        } else {
            self.cursor.expected(&format!("`,` or `{end}`"))
        }
    }

    fn op(&mut self, depth: usize) -> Result<OpTerm> {
        let at = self.cursor.here();
        let name = self.cursor.word("a hole, a number or an op")?;
        if !CORE_OPS.iter().any(|(op, _)| *op == &*name) || matches!(&*name, "constant" | "weight") {
            let names: Vec<&str> = CORE_OPS.iter().map(|(op, _)| *op).collect();
            return self.cursor.error_at(at, format!("rules have no op `{name}`{}", nearest(&name, &names)));
        }
        self.cursor.expect("(")?;
        let (mut operands, mut further) = (Vec::new(), None);
        while !self.cursor.eat(")") {
            if further.is_some() {
                return self.cursor.expected("`)` after further operands");
            }
            match self.further()? {
                Some(hole) => further = Some(hole),
                None => operands.push(self.term(depth + 1)?),
            }
            self.separator(")")?;
        }
        let mut term = OpTerm { name, operands, further, attrs: Vec::new(), others: None };
        if self.cursor.eat("{") {
            self.attrs(&mut term)?;
        }
        match unfit(&term) {
            Some(note) => self.cursor.error_at(at, note),
            None => Ok(term),
        }
    }

    /// Parses `?rest...`, if it is next.
    fn further(&mut self) -> Result<Option<usize>> {
        let at = self.cursor.here();
        if !self.cursor.peek("?") {
            return Ok(None);
        }
        let name = self.hole_name()?;
        if self.cursor.eat("...") {
            return self.hole(at, &name, HoleKind::Tensors, false).map(Some);
        }
        self.cursor.back_to(at);
        Ok(None)
    }

    /// Parses the rest of `{axis = ?i, ..?c}`.
    fn attrs(&mut self, term: &mut OpTerm) -> Result<()> {
        while !self.cursor.eat("}") {
            if self.cursor.eat("..") {
                let at = self.cursor.here();
                let name = self.hole_name()?;
                term.others = Some(self.hole(at, &name, HoleKind::Others, false)?);
                return self.cursor.expect("}");
            }
            let key = self.cursor.word("an attribute")?;
            self.cursor.expect("=")?;
            term.attrs.push((key, self.sum(0)?));
            self.separator("}")?;
        }
        Ok(())
    }

    fn conditions(&mut self) -> Result<Vec<Condition>> {
        let mut conditions = vec![self.condition()?];
        while self.cursor.eat(",") {
            conditions.push(self.condition()?);
        }
        Ok(conditions)
    }

    fn condition(&mut self) -> Result<Condition> {
        let left = self.sum(0)?;
        let relations =
            [("==", Relation::Eq), ("!=", Relation::Ne), ("<=", Relation::Le), ("<", Relation::Lt)].into_iter();
        for (sign, relation) in relations {
            if self.cursor.eat(sign) {
                return Ok(Condition { left, relation, right: self.sum(0)? });
            }
        }
        Ok(Condition::is_true(left))
    }

    fn sum(&mut self, depth: usize) -> Result<Expr> {
        let mut left = self.product(depth)?;
        while let Some(sign) = ["+", "-"].into_iter().find(|sign| self.cursor.eat(sign)) {
            left = self.operation(sign, left, depth, Self::product)?;
        }
        Ok(left)
    }

    fn product(&mut self, depth: usize) -> Result<Expr> {
        let mut left = self.atom(depth)?;
        while let Some(sign) = ["*", "/"].into_iter().find(|sign| self.cursor.eat(sign)) {
            left = self.operation(sign, left, depth, Self::atom)?;
        }
        Ok(left)
    }

    fn operation(
        &mut self,
        sign: &str,
        left: Expr,
        depth: usize,
        right: impl Fn(&mut Self, usize) -> Result<Expr>,
    ) -> Result<Expr> {
        self.operators += 1;
        if self.operators > MAX_OPERATORS {
            let at = self.cursor.here();
            return self.cursor.error_at(at, format!("a rule has more than {MAX_OPERATORS} operators"));
        }
        let right = right(self, depth)?;
        match function::find(sign) {
            Some(function) => Ok(Expr::Call(function, vec![left, right])),
            None => self.cursor.expected("an operation"),
        }
    }

    fn atom(&mut self, depth: usize) -> Result<Expr> {
        if depth > MAX_DEPTH {
            let at = self.cursor.here();
            return self.cursor.error_at(at, format!("expressions nest deeper than {MAX_DEPTH}"));
        }
        if self.cursor.peek("?") {
            let at = self.cursor.here();
            let name = self.hole_name()?;
            return self.hole(at, &name, HoleKind::Value, false).map(Expr::Hole);
        }
        if self.cursor.eat("(") {
            let inner = self.sum(depth + 1)?;
            self.cursor.expect(")")?;
            return Ok(inner);
        }
        if self.cursor.eat("[") {
            return self.exprs("]", depth).map(Expr::List);
        }
        if self.cursor.peek("\"") {
            return self.cursor.string().map(|word| Expr::Value(Value::Word(word)));
        }
        let at = self.cursor.here();
        if let Some(number) = self.cursor.number() {
            return match Value::from_attr(&number) {
                Some(value) => Ok(Expr::Value(value)),
                None => self.cursor.error_at(at, "expected a whole number of 0 or more, or a float"),
            };
        }
        self.call(depth)
    }

    fn call(&mut self, depth: usize) -> Result<Expr> {
        let (at, name) = (self.cursor.here(), self.cursor.run(|c| c.is_ascii_alphanumeric() || c == '_'));
        let constant = match name {
            "true" => Some(Value::Bool(true)),
            "false" => Some(Value::Bool(false)),
            "null" => Some(Value::Null),
            "" => return self.cursor.expected("a value: a hole, a number, a word in quotes, a list or a function"),
            _ => None,
        };
        if let Some(value) = constant {
            return Ok(Expr::Value(value));
        }
        self.cursor.expect("(")?;
        if OF_TENSORS.contains(&name) {
            let at = self.cursor.here();
            let hole = self.hole_name()?;
            let hole = self.tensor(at, &hole, None)?;
            self.cursor.expect(")")?;
            return Ok(of_tensor(name, hole));
        }
        let Some(function) = function::find(name) else {
            let names: Vec<&str> = OF_TENSORS.into_iter().chain(FUNCTIONS.iter().map(|f| f.name)).collect();
            return self.cursor.error_at(at, format!("no such function: `{name}`{}", nearest(name, &names)));
        };
        let args = self.exprs(")", depth)?;
        if args.len() != function.arity {
            let (expected, found) = (function.arity, args.len());
            return self.cursor.error_at(at, format!("`{name}` takes {expected} values, found {found}"));
        }
        Ok(Expr::Call(function, args))
    }

    fn exprs(&mut self, end: &str, depth: usize) -> Result<Vec<Expr>> {
        let mut exprs = Vec::new();
        while !self.cursor.eat(end) {
            exprs.push(self.sum(depth + 1)?);
            self.separator(end)?;
        }
        Ok(exprs)
    }
}

/// Functions of tensors in expressions.
const OF_TENSORS: [&str; 4] = ["shape", "elem", "constant", "rank"];

/// The expression for `name`, one of [`OF_TENSORS`], of the tensor `hole`.
fn of_tensor(name: &str, hole: usize) -> Expr {
    match (name, function::find("len")) {
        ("elem", _) => Expr::Elem(hole),
        ("constant", _) => Expr::Constant(hole),
        ("rank", Some(len)) => Expr::Call(len, vec![Expr::Shape(hole)]),
        _ => Expr::Shape(hole),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_two_way_rule_gives_two_rules() {
        let rules = parse("; a comment\nr rounding: add(?a, ?b) <=> add(?b, ?a) where rank(?a) == 2").unwrap();
        let names: Vec<(&str, Fidelity, usize)> = rules.iter().map(|r| (&*r.name, r.fidelity, r.line)).collect();
        assert_eq!(names, [("r", Fidelity::Rounding, 2), ("r-back", Fidelity::Rounding, 2)]);
    }

    #[test]
    fn malformed_rules_are_errors_with_their_position() {
        for (text, column, message) in [
            (
                "r",
                2,
                "expected `:` after the rule name (a rule begins with `name:` or `name rounding:`), found the end",
            ),
            ("r: ?x => ?x", 1, "each term to match must be an op"),
            ("r: relu(?x) => ?y", 16, "the hole `?y` does not occur in the terms to match"),
            ("r: relu(?x) <=> relu(?y)", 1, "the hole `?y` occurs on only one side of `<=>`"),
            ("r: rellu(?x) => ?x", 4, "rules have no op `rellu`; did you mean `relu`?"),
            ("r: relu(?x, ?y) => ?x", 4, "`relu` takes 1 operands, found 2"),
            ("r: relu(?x) {axis = 1} => ?x", 4, "`relu` has no attribute `axis`; it has: none"),
            ("r: concat(?x) => ?x", 4, "`concat` needs the attribute `axis`, or `..?c` for all other attributes"),
            (
                "r: concat(?x) {axis = ?x} => ?x",
                23,
                "the hole `?x` stands for an attribute here, but for a tensor elsewhere",
            ),
            ("r: add(?x: f32, ?x: i32) => ?x", 17, "the hole `?x` has another type at its first occurrence"),
            ("r: concat(?x) {axis = ?i + 1} => ?x", 1, "an expression uses `?i` before it is matched"),
            ("r: relu(?x) => ?x where length(?x)", 25, "no such function: `length`; did you mean `len`?"),
            ("r: relu(?x: f33) => ?x", 13, "no such type: `f33`; use `float`, `int`, `f32`, ..."),
            ("r: relu(?x) => ?x, ?x", 1, "the left side has 1 terms, but the right side has 2"),
            ("r: neg(?x) => ?x r: neg(?x) => ?x", 18, "two rules are called `r`"),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!((error.column, &*error.message), (column, message), "{text}");
        }
    }

    #[test]
    fn an_operator_may_follow_a_number() {
        let rule = |sum: &str| parse(&format!("r: concat(?x) {{axis = ?i}} => ?x where {sum}"));
        for sum in ["1+?i == 2", "?i+1 == 2", "2*3-1 == 5", "1-?i == 0", "4/?i == 2", "1e-3 == 1e+3", "-0.5 == -inf"] {
            assert!(rule(sum).is_ok(), "{sum}: {:?}", rule(sum).err());
        }
    }

    #[test]
    fn deep_nesting_is_an_error() {
        let deep = |n: usize| format!("r: {}?x{} => ?x", "relu(".repeat(n), ")".repeat(n));
        assert!(parse(&deep(60)).is_ok());
        assert!(parse(&deep(100_000)).is_err());
        assert!(parse(&format!("r: relu(?x) => ?x where {}1", "(".repeat(100_000))).is_err());
        let long = |n: usize| format!("r: relu(?x) => ?x where {}1 == 0", "1 + ".repeat(n));
        assert!(parse(&long(MAX_OPERATORS)).is_ok());
        assert!(parse(&long(100_000)).is_err());
    }
}
