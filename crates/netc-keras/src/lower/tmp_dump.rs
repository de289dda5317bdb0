#[test]
fn dump() {
    let mut dialects = netc_pass::Dialects::new();
    dialects.push(super::KerasDialect);
    let Ok(dir) = std::fs::read_dir("/tmp/kl/models") else { return };
    for entry in dir {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "keras") {
            continue;
        }
        let out = path.with_extension("nir");
        let text = match crate::read(&path, &dialects) {
            Err(e) => format!("ERROR read {e:?}"),
            Ok(imported) => {
                let m = imported.module;
                let main = m.main().unwrap();
                let mut b = netc_ir::Builder::new(&m, "low");
                let mut map = std::collections::BTreeMap::new();
                for p in &main.params {
                    map.insert(p.value, b.param(p.name.clone(), main[p.value].ty.clone(), None));
                }
                let mut err = String::new();
                for (_, op) in main.ops() {
                    let netc_ir::OpKind::Source(s) = &op.kind else {
                        err = "call".into();
                        break;
                    };
                    let operands: Vec<_> = op.operands.iter().map(|v| map[v]).collect();
                    match dialects.lower(
                        &mut b,
                        netc_pass::OpContext { op: s, layer: s.layer.map(|l| &m[l]), operands: &operands },
                    ) {
                        Ok(r) => {
                            for (a, v) in op.results.iter().zip(r) {
                                if !b.ty(v).agrees_with(&main[*a].ty) {
                                    err += &format!("TYPE {} {} ", b.ty(v), main[*a].ty);
                                }
                                map.insert(*a, v);
                            }
                        }
                        Err(e) => {
                            err = format!("ERROR {}: {e}", op.kind.name());
                            break;
                        }
                    }
                }
                if err.is_empty() {
                    let f = b.finish(main.outputs.iter().map(|o| (o.name.clone(), map[&o.value])));
                    let mut w = m.clone();
                    w.funcs = vec![f];
                    w.layers.clear();
                    for p in &mut w.funcs[0].params {
                        p.layer = None;
                    }
                    netc_ir::print(&w)
                } else {
                    err
                }
            }
        };
        std::fs::write(out, text).unwrap();
    }
}
