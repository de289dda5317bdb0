//! Formats numbers, types and tables for people.

use std::borrow::Cow;
use std::env;
use std::io::{self, Write};

use anstyle::{AnsiColor, Reset, Style};
use netc_ir::is_unprintable;
use netc_pass::counted;
pub(crate) use netc_pass::thousands;
use textwrap::{Options, WordSplitter};

use crate::error::{CliError, Result};

/// The styles of a stream. They are empty unless it is a terminal and `NO_COLOR` is unset or empty.
pub(crate) struct Styles {
    pub(crate) error: String,
    pub(crate) note: String,
    pub(crate) reset: String,
}

impl Styles {
    pub(crate) fn for_stderr(is_terminal: bool) -> Self {
        let coloured = is_terminal && env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        let render = |style: Style| if coloured { style.render().to_string() } else { String::new() };
        Self {
            error: render(Style::new().bold().fg_color(Some(AnsiColor::Red.into()))),
            note: render(Style::new().bold()),
            reset: if coloured { Reset.render().to_string() } else { String::new() },
        }
    }
}

/// Longer words are shortened in the middle: names come from model files.
const MAX_WORD: usize = 300;

/// Longer cells of tables are shortened in the middle.
const MAX_CELL: usize = 2_000;

/// Longer messages are shortened in the middle.
const MAX_MESSAGE: usize = 8_000;

/// Prints a result for people, with long words shortened.
pub(crate) fn print(text: &str) -> Result<()> {
    print_data(&with_short_words(text))
}

/// Prints a result for programs, such as JSON, without shortening.
pub(crate) fn print_data(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(printable(text).as_bytes()).and_then(|()| out.flush()).map_err(CliError::Stdout)
}

/// Escapes control characters as JSON does (`\u001b`), except line breaks and tabs.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    let is_kept = |c: char| matches!(c, '\n' | '\t') || !is_unprintable(c);
    if text.chars().all(is_kept) {
        return text.into();
    }
    text.chars().map(|c| if is_kept(c) { c.to_string() } else { format!("\\u{:04x}", c as u32) }).collect()
}

/// Makes a message printable and shortens it.
pub(crate) fn message(text: &str) -> String {
    cut(&printable(&with_short_words(text)), MAX_MESSAGE)
}

fn with_short_words(text: &str) -> Cow<'_, str> {
    if text.split_whitespace().all(|word| word.len() <= MAX_WORD) {
        return text.into();
    }
    text.split_inclusive(char::is_whitespace).map(|word| cut(word, MAX_WORD)).collect()
}

/// Replaces the middle of a text that is longer than `limit` bytes by `…`.
fn cut(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.into();
    }
    let is_boundary = |at: &usize| text.is_char_boundary(*at);
    let start = (0..=limit * 2 / 3).rev().find(is_boundary).unwrap_or(0);
    let end = (text.len() - limit / 4..).find(is_boundary).unwrap_or(text.len());
    format!("{}…{}", &text[..start], &text[end..])
}

/// Prints a note to standard error, and ignores errors.
pub(crate) fn note(text: &str) {
    use std::io::IsTerminal;
    let style = Styles::for_stderr(io::stderr().is_terminal());
    let _ = writeln!(io::stderr(), "{}note{}: {}", style.note, style.reset, message(text));
}

/// The width of the terminal on standard output, if known.
pub(crate) fn terminal_columns() -> Option<usize> {
    terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0))
}

/// The width of the widest line in characters.
pub(crate) fn width(text: &str) -> usize {
    text.lines().map(|line| line.chars().count()).max().unwrap_or(0)
}

/// How numbers are written: rounded to three digits, or exactly.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Figures {
    Rounded,
    Exact,
}

impl Figures {
    /// Exact if the option `--long` is given.
    pub(crate) fn new(long: bool) -> Self {
        if long { Self::Exact } else { Self::Rounded }
    }

    /// `23.9 M` or `23,851,784`; `?` for an unknown number.
    pub(crate) fn number(self, n: Option<u64>) -> String {
        match (self, n) {
            (_, None) => "?".into(),
            (Self::Rounded, Some(n)) => rounded(n, 1000.0, &["", " k", " M", " G", " T", " P", " E"]),
            (Self::Exact, Some(n)) => thousands(n),
        }
    }

    /// `512 KiB` or `524,288 B`; `?` for an unknown size.
    pub(crate) fn bytes(self, n: Option<u64>) -> String {
        match (self, n) {
            (_, None) => "?".into(),
            (Self::Rounded, Some(n)) => rounded(n, 1024.0, &[" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"]),
            (Self::Exact, Some(n)) => format!("{} B", thousands(n)),
        }
    }

    /// `5.71 GMAC` or `5,713,216,096 MAC`: multiply-accumulates.
    pub(crate) fn macs(self, n: Option<u64>) -> String {
        let number = self.number(n);
        let unit = if number.ends_with(char::is_alphabetic) { "MAC" } else { " MAC" };
        format!("{number}{unit}")
    }
}

/// A number in three digits, with the first of `units` that makes it smaller than `base`. Without a unit it is exact.
fn rounded(n: u64, base: f64, units: &[&str]) -> String {
    let mut scaled = n as f64;
    let mut units = units.iter().peekable();
    while let Some(unit) = units.next() {
        // 999.5 is rounded to 1000, which belongs to the next unit.
        if scaled < base - 0.5 || units.peek().is_none() {
            let digits = if scaled >= 99.95 || n < 1000 {
                0
            } else if scaled >= 9.995 {
                1
            } else {
                2
            };
            return format!("{scaled:.digits$}{unit}");
        }
        scaled /= base;
    }
    n.to_string()
}

/// An element of a tensor with 6 decimals, in scientific notation if it is very small or large.
pub(crate) fn decimal(x: f64) -> String {
    let fixed = x == 0.0 || !x.is_finite() || (1e-3..1e7).contains(&x.abs());
    if fixed { format!("{x:.6}") } else { format!("{x:.6e}") }
}

/// A difference with 4 significant digits, or `0`.
pub(crate) fn difference(x: f64) -> String {
    if x == 0.0 { "0".into() } else { format!("{x:.3e}") }
}

/// `1 layer`, `2 layers`.
pub(crate) fn count(n: usize, noun: &str) -> String {
    counted(n as u64, noun)
}

/// Text is wrapped to this many columns.
const COLUMNS: usize = 80;

/// A heading and a text, wrapped: its lines begin in column 10.
pub(crate) fn entry(heading: &str, text: &str) -> String {
    let first = format!("{heading:<10}");
    let options = Options::new(COLUMNS).break_words(false).word_splitter(WordSplitter::NoHyphenation);
    let indent = " ".repeat(10);
    format!("{}\n", textwrap::fill(text, options.initial_indent(&first).subsequent_indent(&indent)))
}

/// `1 pass`, `2 passes`.
pub(crate) fn count_of(n: usize, one: &str, many: &str) -> String {
    format!("{} {}", thousands(n as u64), if n == 1 { one } else { many })
}

/// Formats rows in columns, two spaces apart. A heading that begins with `>` aligns its column to the right.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let right: Vec<bool> = headings.iter().map(|h| h.starts_with('>')).collect();
    let head: Vec<String> = headings.iter().map(|h| h.trim_start_matches('>').to_string()).collect();
    // A line break in a cell would break the table.
    let cell = |cell: &String| cut(&printable(cell).replace('\n', "\\n").replace('\t', "\\t"), MAX_CELL);
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(cell).collect()).collect();
    let all = || std::iter::once(&head).chain(&rows);
    let width = |i: usize| all().filter_map(|r| r.get(i)).map(|c| c.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut out = String::new();
    for row in all() {
        let mut line = String::new();
        for (i, cell) in row.iter().enumerate() {
            // Do not pad the last column: one long cell must not lengthen every line.
            let ends = i + 1 == row.len() && !right[i];
            let pad = if ends { 0 } else { widths[i].saturating_sub(cell.chars().count()) };
            let pad = " ".repeat(pad);
            line.push_str(if i == 0 { "" } else { "  " });
            line.push_str(&if right[i] { format!("{pad}{cell}") } else { format!("{cell}{pad}") });
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_last_cell_does_not_pad_other_lines() {
        let mut rows = vec![vec!["a".to_string(), "b".into()]; 100_000];
        rows.push(vec!["c".into(), "d".repeat(MAX_CELL)]);
        assert_eq!(table(&[">x", "y"], &rows).len(), 5 * 100_001 + 4 + MAX_CELL);
    }

    #[test]
    fn digits_are_grouped() {
        assert_eq!([0, 999, 1000, 23_851_784].map(thousands), ["0", "999", "1,000", "23,851,784"]);
    }

    #[test]
    fn rounded_numbers_have_three_digits() {
        let shown = [0, 999, 1000, 9_994, 9_996, 99_960, 999_499, 999_500, 23_851_784, 5_713_216_096, u64::MAX]
            .map(|n| Figures::Rounded.number(Some(n)));
        let expect =
            ["0", "999", "1.00 k", "9.99 k", "10.0 k", "100 k", "999 k", "1.00 M", "23.9 M", "5.71 G", "18.4 E"];
        assert_eq!(shown, expect);
    }

    #[test]
    fn decimals_and_differences_are_readable() {
        let shown = [0.0, -0.5, 1.5e-9, 2e30, f64::NAN, f64::INFINITY].map(decimal);
        assert_eq!(shown, ["0.000000", "-0.500000", "1.500000e-9", "2.000000e30", "NaN", "inf"]);
        assert_eq!([0.0, 1.0 / 3.0].map(difference), ["0", "3.333e-1"]);
    }

    #[test]
    fn control_characters_are_escaped() {
        let hostile = "\u{1b}]0;title\u{7}\u{1b}[2J\u{9b}31m\r\u{202e}abc\n\tä";
        let shown = printable(hostile);
        assert_eq!(shown, "\\u001b]0;title\\u0007\\u001b[2J\\u009b31m\\u000d\\u202eabc\n\tä");
        let rows = [vec!["a\nnote: b".to_string(), "\u{1b}".to_string()]];
        assert_eq!(table(&["x", "y"], &rows), "x           y\na\\nnote: b  \\u001b\n");
    }

    #[test]
    fn long_names_are_shortened_in_the_middle() {
        let long = "ä".repeat(1 << 20);
        let shown = message(&format!("layer `{long}` and `b`"));
        assert!(shown.len() < 400 && shown.starts_with("layer `ä") && shown.ends_with("ä` and `b`"), "{shown}");
        let many = "word ".repeat(1 << 20);
        assert!(message(&many).len() <= MAX_MESSAGE);
        assert_eq!(message("a `b` c"), "a `b` c");
        assert!(table(&["x"], &[vec![long]]).len() < 2 * MAX_CELL);
    }

    #[test]
    fn columns_are_aligned() {
        let rows = [vec!["a".to_string(), "5".to_string()], vec!["long".to_string(), "12".to_string()]];
        assert_eq!(table(&["name", ">n"], &rows), "name   n\na      5\nlong  12\n");
    }
}
