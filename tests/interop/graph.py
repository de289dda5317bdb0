"""The graph of a Keras model, read from Keras's own nodes. Tests compare netc's answers about graphs with it."""


class Graph:
    """The calls of a model, by the names that netc gives them: `layer`, or `layer@1` if it is called more than once."""

    def __init__(self, model):
        model = getattr(model, "_functional", model)
        self.nodes = [n for depth in sorted(model._nodes_by_depth, reverse=True) for n in model._nodes_by_depth[depth]]
        kept = {id(n) for n in self.nodes}
        self.names = {}
        for node in self.nodes:
            calls = [n for n in node.operation._inbound_nodes if id(n) in kept]
            at = f"@{calls.index(node)}" if len(calls) > 1 else ""
            self.names[id(node)] = node.operation.name + at
        self.calls = {self.names[id(n)]: n for n in self.nodes if not n.is_input}

    def first_part(self, *names):
        """The calls that must run to compute the named ones, and the inputs that they need, as ids."""
        part, waiting = set(), [self.calls[n] for n in names]
        while waiting:
            node = waiting.pop()
            if id(node) not in part:
                part.add(id(node))
                waiting += node.parent_nodes
        return part

    def rest(self, part):
        """The calls outside a part."""
        return [n for n in self.calls.values() if id(n) not in part]

    def crossing(self, part):
        """The tensors, inputs included, that the rest reads from the part, as pairs of a call's name and an output
        number."""
        inside = [n for n in self.nodes if id(n) in part]
        made = {id(t): (self.names[id(n)], i) for n in inside for i, t in enumerate(n.output_tensors)}
        return {made[id(t)] for n in self.rest(part) for t in n.input_tensors if id(t) in made}

    def is_cut(self, name):
        """Whether there is anything after the call."""
        return bool(self.rest(self.first_part(name)))

    def one_tensor_cuts(self):
        """The calls after which only their own result crosses. Inputs of the model do not count: they reach both
        parts."""
        computed = {
            name: {made for made in self.crossing(self.first_part(name)) if made[0] in self.calls} for name in self.calls
        }
        return {name for name, tensors in computed.items() if len(tensors) == 1 and next(iter(tensors))[0] == name}

    def above(self, name):
        """The layers of a call and of all calls that depend on it."""
        found = {id(self.calls[name])}
        for node in self.nodes:
            if any(id(parent) in found for parent in node.parent_nodes):
                found.add(id(node))
        return {n.operation.name for n in self.nodes if id(n) in found}
