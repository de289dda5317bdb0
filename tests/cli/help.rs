//! The help of every command on one page, `tests/cli/snapshots/help.snap`, to be read as a user reads it.

use crate::support::Folder;

#[test]
fn help_reads_well() {
    let folder = Folder::new();
    let summary = folder.netc(&["-h"]).done();
    let names = summary.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names: Vec<&str> =
        names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").collect();
    assert!(names.contains(&"cuts") && names.contains(&"completions"), "{summary}");
    let mut page = format!("$ netc --help\n{}", folder.netc(&["--help"]).done());
    for name in names {
        page.push_str(&format!("\n$ netc {name} --help\n{}", folder.netc(&[name, "--help"]).done()));
    }
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!("help", page));
}
