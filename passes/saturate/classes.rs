//! The e-graph: classes of equal values, with core ops as nodes.

use std::collections::BTreeMap;

use egg::{Analysis, DidMerge, EGraph, Id, Language};
use netc_ir::{CoreOp, Func, Loc, Module, OpId, OpKind, Type, ValueId, infer};
use netc_rules::{Graph, Replacement, Source};

/// The e-graph of a function.
pub(super) type Egraph<'m> = EGraph<Node, Types<'m>>;

/// A way to compute a value.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Node {
    pub(super) kind: NodeKind,
    pub(super) operands: Vec<Id>,
}

/// The kind of a node.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum NodeKind {
    /// A core op.
    Core(CoreOp),
    /// A parameter.
    Param(ValueId),
    /// The result with this index of an op that rules do not look into.
    Opaque(OpId, usize),
}

impl Language for Node {
    type Discriminant = &'static str;

    fn discriminant(&self) -> &'static str {
        match &self.kind {
            NodeKind::Core(op) => op.name(),
            NodeKind::Param(_) => "a parameter",
            NodeKind::Opaque(..) => "an op",
        }
    }

    fn matches(&self, other: &Self) -> bool {
        self.kind == other.kind && self.operands.len() == other.operands.len()
    }

    fn children(&self) -> &[Id] {
        &self.operands
    }

    fn children_mut(&mut self) -> &mut [Id] {
        &mut self.operands
    }
}

/// The facts about a class: its type, and whether it depends on no parameter.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) ty: Type,
    pub(super) constant: bool,
}

/// The analysis that computes the facts about classes.
pub(super) struct Types<'m> {
    module: &'m Module,
    func: &'m Func,
}

impl Analysis<Node> for Types<'_> {
    type Data = Known;

    fn make(graph: &mut EGraph<Node, Self>, node: &Node, _: Id) -> Known {
        let Types { module, func } = graph.analysis;
        match &node.kind {
            NodeKind::Param(value) => Known { ty: func[*value].ty.clone(), constant: false },
            NodeKind::Opaque(op, result) => Known { ty: func[func[*op].results[*result]].ty.clone(), constant: false },
            NodeKind::Core(op) => {
                let operands: Vec<&Type> = node.operands.iter().map(|id| &graph[*id].data.ty).collect();
                let ty = infer(module, op, &operands).unwrap_or_else(|_| Type::unranked(netc_ir::ElemType::Any));
                let constant = ty.num_bytes().is_some() && node.operands.iter().all(|id| graph[*id].data.constant);
                Known { ty, constant }
            }
        }
    }

    /// Rules only equate values of one type. A class is constant if any of its nodes is.
    fn merge(&mut self, a: &mut Known, b: Known) -> DidMerge {
        let (was, other) = (a.constant, b.constant);
        a.constant |= other;
        DidMerge(a.constant != was, a.constant != other)
    }
}

/// A function as an e-graph.
pub(super) struct Classes<'m> {
    pub(super) graph: Egraph<'m>,
    /// The class of each value of the function, by id.
    pub(super) class_of: BTreeMap<ValueId, Id>,
    /// The node by which the function computes each class.
    pub(super) original: Vec<(Id, Node)>,
    /// The location of each class.
    locs: BTreeMap<Id, Loc>,
    /// Nodes of several classes that pay off only if they are chosen together.
    pub(super) together: Vec<Vec<(Id, Node)>>,
}

impl<'m> Classes<'m> {
    /// Builds the e-graph of `func`. Each value gets its own class, except that equal ops on equal operands share one.
    pub(super) fn of(module: &'m Module, func: &'m Func) -> Self {
        let graph = EGraph::new(Types { module, func });
        let (class_of, locs) = (BTreeMap::new(), BTreeMap::new());
        let mut classes = Self { graph, class_of, original: Vec::new(), locs, together: Vec::new() };
        for param in &func.params {
            classes.define(
                param.value,
                Node { kind: NodeKind::Param(param.value), operands: Vec::new() },
                &Loc::Unknown,
            );
        }
        for (id, op) in func.ops() {
            let operands: Vec<Id> = op.operands.iter().map(|v| classes.class_of[v]).collect();
            for (i, result) in op.results.iter().enumerate() {
                let kind = match &op.kind {
                    OpKind::Core(core) if classes.infers(core, &operands, &func[*result].ty) => {
                        NodeKind::Core(core.clone())
                    }
                    OpKind::Core(_) | OpKind::Source(_) | OpKind::Call(_) => NodeKind::Opaque(id, i),
                };
                classes.define(*result, Node { kind, operands: operands.clone() }, &op.loc);
            }
        }
        classes.graph.rebuild();
        classes
    }

    /// Whether inference gives the op, on these classes, exactly the type `ty`. Programs may declare more precise
    /// types.
    fn infers(&self, op: &CoreOp, operands: &[Id], ty: &Type) -> bool {
        let types: Vec<&Type> = operands.iter().map(|id| &self.graph[*id].data.ty).collect();
        infer(self.graph.analysis.module, op, &types).as_ref() == Ok(ty)
    }

    fn define(&mut self, value: ValueId, node: Node, loc: &Loc) {
        let class = self.graph.add(node.clone());
        self.class_of.insert(value, class);
        self.original.push((class, node));
        self.locs.entry(class).or_insert_with(|| loc.clone());
    }

    /// Adds `replacement` and equates its results with `roots`. Returns whether that was new.
    pub(super) fn equate(&mut self, roots: &[Id], replacement: &Replacement<Id>) -> bool {
        let loc = Loc::fuse(roots.iter().filter_map(|root| self.locs.get(root).cloned()));
        let (mut new, mut nodes): (Vec<Id>, Vec<Node>) = Default::default();
        for op in &replacement.ops {
            let operands = op.operands.iter().map(|source| source.resolve(&new, |id| id)).collect();
            let node = Node { kind: NodeKind::Core(op.op.clone()), operands };
            let class = self.graph.add(node.clone());
            self.locs.entry(class).or_insert_with(|| loc.clone());
            new.push(class);
            nodes.push(node);
        }
        let results: Vec<Id> = replacement.results.iter().map(|source| source.resolve(&new, |id| id)).collect();
        let mut news = false;
        for (root, result) in roots.iter().zip(&results) {
            news |= self.graph.union(*root, *result);
        }
        if roots.len() > 1 && news {
            let node = |source: &Source<Id>| match source {
                Source::Old(_) => None,
                Source::New(i) => Some(nodes[*i].clone()),
            };
            let nodes = replacement.results.iter().map(node);
            self.together
                .extend(roots.iter().zip(nodes).map(|(root, node)| Some((*root, node?))).collect::<Option<_>>());
        }
        news
    }

    /// The location of each class, by canonical class.
    pub(super) fn locs(&self) -> BTreeMap<Id, Loc> {
        let mut locs = BTreeMap::new();
        for (class, loc) in &self.locs {
            locs.entry(self.graph.find(*class)).or_insert_with(|| loc.clone());
        }
        locs
    }

    /// The node with canonical operand classes.
    pub(super) fn canonical(&self, node: &Node) -> Node {
        node.clone().map_children(|id| self.graph.find(id))
    }
}

impl Graph for Classes<'_> {
    type Id = Id;

    fn definitions(&self, id: Id) -> impl Iterator<Item = (&CoreOp, &[Id])> {
        self.graph[id].nodes.iter().filter_map(|node| match &node.kind {
            NodeKind::Core(op) => Some((op, &node.operands[..])),
            NodeKind::Param(_) | NodeKind::Opaque(..) => None,
        })
    }

    fn ty(&self, id: Id) -> &Type {
        &self.graph[id].data.ty
    }

    fn is_constant(&self, id: Id) -> bool {
        self.graph[id].data.constant
    }
}
