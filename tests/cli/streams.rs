//! Tests of streams, usage errors, help and completions: results go to standard output, everything else to standard
//! error.

use crate::support::Folder;

#[test]
fn no_escape_codes_without_a_terminal() {
    let folder = Folder::with_tiny();
    for args in [
        &["tiny.keras", "--pass", "split=sum", "--verify"][..],
        &["--pass", "split=nowhere"],
        &["inspect", "tiny.keras"],
        &["--help"],
        &["--pas"],
    ] {
        let ran = folder.netc(args);
        assert!(!ran.out.contains('\x1b') && !ran.err.contains('\x1b'), "{ran:?}");
    }
}

#[test]
fn usage_errors_exit_with_2() {
    let folder = Folder::with_tiny();
    let before = folder.contents();
    for args in [
        &["tiny.keras", "--pas", "dce"][..],
        &["tiny.keras", "--emit", "xml"],
        &["tiny.keras", "--verify=many"],
        &["layers", "tiny.keras"],
        &["layers", "tiny.keras", "--above", "sum", "--below", "sum"],
        &["tiny.keras", "--pass", "nothing"],
        &["tiny.keras", "--pass", "split="],
        &["tiny.keras", "--pass", "split{after=sum}"],
        &["tiny.keras", "-o", "out"],
        &["tiny.keras", "--pass", "split=sum", "-o", "x.keras"],
        &["passes", "nothing"],
        &["completions", "tcl"],
        &["run", "tiny.keras", "-o", "y.txt"],
    ] {
        let ran = folder.netc(args);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{args:?}: {}", ran.err);
        assert!(ran.err.lines().any(|l| l.starts_with("error: ")), "{args:?}: {}", ran.err);
    }
    assert_eq!(before, folder.contents());
}

#[test]
fn misspelt_names_get_suggestions() {
    let folder = Folder::with_tiny();
    folder.netc(&["tiny.keras", "--pass", "splt=sum"]).failed(2, &["no such pass: `splt`; did you mean `split`?"]);
    folder.refuses(&["zoo:inception"], &["`inception`", "did you mean `inception_v3`", "netc zoo"]);
    folder.refuses(&["layers", "tiny.keras", "--above", "logit"], &["no such layer: `logit`", "`logits`"]);
}

#[test]
fn help_has_examples_and_exit_codes() {
    let help = Folder::new().netc(&["--help"]).done();
    let short = Folder::new().netc(&[]).done();
    assert_eq!(short, Folder::new().netc(&["-h"]).done());
    assert!(short.contains("Usage: netc"), "{short}");
    Folder::new().netc(&["-o", "x.keras"]).failed(2, &["no INPUT is given", "name a model file"]);
    for part in ["Examples:", "Exit codes:", "netc cuts", "--pass", "completions"] {
        assert!(help.contains(part), "{help}");
    }
    assert!(Folder::new().netc(&["--version"]).done().starts_with("netc "));
}

#[test]
fn completions_are_scripts() {
    for (shell, part) in [("bash", "complete -F"), ("zsh", "#compdef netc"), ("fish", "complete -c netc")] {
        let script = Folder::new().netc(&["completions", shell]).done();
        assert!(script.contains(part) && script.contains("inspect"), "{script}");
    }
}

#[test]
fn tables_list_passes_models_and_layers() {
    let folder = Folder::with_tiny();
    let passes = folder.netc(&["passes"]).done();
    assert!(["split", "dce", "lower"].iter().all(|p| passes.contains(p)), "{passes}");
    assert!(folder.netc(&["passes", "split"]).done().contains("split=mixed9"));
    let zoo = folder.netc(&["zoo"]).done();
    assert!(netc_zoo::ZOO.iter().all(|m| zoo.contains(&format!("zoo:{}", m.name))), "{zoo}");
    assert_eq!(folder.netc(&["layers", "tiny.keras", "--above", "sum"]).done(), "sum\npool\nlogits\n");
    assert_eq!(folder.netc(&["layers", "tiny.keras", "--below", "relu"]).done(), "image\nconv\nnorm\nrelu\n");
    let cuts = folder.netc(&["cuts", "tiny.keras"]).done();
    let names: Vec<&str> = cuts.lines().skip(1).filter_map(|l| l.split(' ').next()).collect();
    assert_eq!(names, ["conv", "norm", "relu", "sum", "pool"]);
    insta::assert_snapshot!(folder.netc(&["inspect", "tiny.keras"]).done(), @"
    layer   class                   output        params  reads
    image   InputLayer              f32[N,8,8,3]       0
    conv    Conv2D                  f32[N,8,8,4]     112  image
    norm    BatchNormalization      f32[N,8,8,4]      16  conv
    relu    Activation              f32[N,8,8,4]       0  norm
    branch  Conv2D                  f32[N,8,8,4]     148  relu
    sum     Add                     f32[N,8,8,4]       0  relu, branch
    pool    GlobalAveragePooling2D  f32[N,4]           0  sum
    logits  Dense                   f32[N,10]         50  pool

    tiny (Functional), 8 layers, 326 params, 16.2 kMAC
    ");
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    let ran = Folder::new().shell("$NETC zoo:inception_v3 --emit ir | head -n 1");
    assert_eq!((ran.code, ran.out.as_str()), (0, "netc 1\n"));
    assert!(!ran.err.contains("error"), "{}", ran.err);
}

#[test]
fn failing_to_write_standard_output_is_an_error() {
    let ran = Folder::new().shell("$NETC zoo:tiny > /dev/full");
    assert_eq!(ran.code, 1);
    assert!(ran.err.starts_with("error: cannot write to standard output: "), "{}", ran.err);
}
