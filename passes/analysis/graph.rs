//! A function as a petgraph graph: a read-only view for drawing and for petgraph's algorithms.

use std::fmt;

use netc_ir::{Def, Func, Module, OpId, ValueId};
use petgraph::dot::{Config, Dot};
use petgraph::graph::{DiGraph, EdgeReference, NodeIndex};

use super::names::OpNames;

/// A node of the view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Node {
    /// The parameter with this index.
    Param(u32),
    /// An op.
    Op(OpId),
    /// The output with this index.
    Output(u32),
}

/// Builds the graph of `func`: nodes for its parameters, ops and outputs, in this order, and an edge from the
/// definition of a value to each read or return of it.
pub fn graph(func: &Func) -> DiGraph<Node, ValueId> {
    let mut graph = DiGraph::with_capacity(func.params.len() + func.num_ops() + func.outputs.len(), func.num_ops());
    let params: Vec<NodeIndex> = (0..func.params.len()).map(|i| graph.add_node(Node::Param(i as u32))).collect();
    let mut ops = vec![NodeIndex::end(); func.num_op_slots()];
    for id in func.op_ids() {
        ops[id.index()] = graph.add_node(Node::Op(id));
    }
    let definition = |value: ValueId| match func[value].def {
        Def::Param(i) => params[i as usize],
        Def::Result(op, _) => ops[op.index()],
    };
    for (id, op) in func.ops() {
        for value in &op.operands {
            graph.add_edge(definition(*value), ops[id.index()], *value);
        }
    }
    for (i, output) in func.outputs.iter().enumerate() {
        let node = graph.add_node(Node::Output(i as u32));
        graph.add_edge(definition(output.value), node, output.value);
    }
    graph
}

/// Formats `func`, a function of `module`, in the DOT language of Graphviz.
pub fn dot(module: &Module, func: &Func) -> String {
    let names = OpNames::of(module, func);
    let graph = graph(func);
    let node = |_, (_, node): (NodeIndex, &Node)| match node {
        Node::Param(i) => format!("label = {}, shape = ellipse", Quoted(&func.params[*i as usize].name)),
        Node::Op(op) => format!("label = {}", Quoted(&format!("{}\n{}", names.op(*op), func[*op].kind.name()))),
        Node::Output(i) => format!("label = {}, shape = ellipse", Quoted(&func.outputs[*i as usize].name)),
    };
    let edge =
        |_, edge: EdgeReference<'_, ValueId>| format!("label = {}", Quoted(&func[*edge.weight()].ty.to_string()));
    let config = [Config::NodeNoLabel, Config::EdgeNoLabel];
    let dot = Dot::with_attr_getters(&graph, &config, &edge, &node);
    format!("{dot:?}").replacen("digraph {", "digraph {\n    node [ shape = box ]", 1)
}

/// Quotes text for Graphviz.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        write!(f, "\"{text}\"")
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn draws_ops_with_the_types_between_them() {
        let module = netc_ir::parse(
            "netc 1
             layer l0 \"act\" : keras.ReLU {}
             func @main(%x: f32[N,4]) -> (%y) { %y = keras.ReLU l0(%x) : f32[N,4] }",
        )
        .unwrap();
        insta::assert_snapshot!(super::dot(&module, module.main().unwrap()), @r#"
        digraph {
            node [ shape = box ]
            0 [ label = "x", shape = ellipse]
            1 [ label = "act\nkeras.ReLU"]
            2 [ label = "y", shape = ellipse]
            0 -> 1 [ label = "f32[N,4]"]
            1 -> 2 [ label = "f32[N,4]"]
        }
        "#);
    }
}
