//! The choice that costs least of all, as an integer program.
//!
//! A binary variable for each way says whether it is taken. Each root has one; a way that is taken has one for each class
//! that it reads. So that no class reads itself, classes that may read each other have places in an order, and a way that
//! is taken puts its class after what it reads (Yang et al., "Equality Saturation for Tensor Graph Superoptimization",
//! MLSys 2021, section 5.1).

use microlp::{ComparisonOp, OptimizationDirection, Problem as Program, Variable};
use petgraph::algo::tarjan_scc;
use petgraph::graph::DiGraph;

use super::extract::{Choice, Problem};

/// The most ways of a problem that is solved exactly: beyond, branching may take forever.
pub(super) const MOST_WAYS: usize = 2_000;

impl Problem {
    /// The cheapest choice of all; none where the problem is too large, or the solver gives up.
    pub(super) fn cheapest(&self) -> Option<Choice> {
        let needed = self.needed();
        let ways = needed.iter().map(|class| self.classes[*class].len()).sum::<usize>();
        if ways > MOST_WAYS {
            return None;
        }
        let scale = self.classes.iter().flatten().map(|way| way.cost).fold(0.0, f64::max);
        let mut program = Program::new(OptimizationDirection::Minimize);
        let mut taken: Vec<Vec<Variable>> = vec![Vec::new(); self.classes.len()];
        let mut place: Vec<Option<Variable>> = vec![None; self.classes.len()];
        for class in &needed {
            let ways = &self.classes[*class];
            taken[*class] = ways.iter().map(|way| program.add_binary_var(way.cost / scale)).collect();
            place[*class] = Some(program.add_var(0.0, (0.0, needed.len() as f64)));
        }
        for root in &self.roots {
            let any: Vec<(Variable, f64)> = taken[*root].iter().map(|way| (*way, 1.0)).collect();
            program.add_constraint(any, ComparisonOp::Ge, 1.0);
        }
        let component = self.components();
        let steps = needed.len() as f64 + 1.0;
        for class in &needed {
            for (way, variable) in self.classes[*class].iter().zip(&taken[*class]) {
                for read in &way.reads {
                    let mut any: Vec<(Variable, f64)> = taken[*read].iter().map(|way| (*way, 1.0)).collect();
                    any.push((*variable, -1.0));
                    program.add_constraint(any, ComparisonOp::Ge, 0.0);
                    if component[*class] == component[*read] {
                        let (after, before) = (place[*class]?, place[*read]?);
                        let order = [(after, 1.0), (before, -1.0), (*variable, -steps)];
                        program.add_constraint(order, ComparisonOp::Ge, 1.0 - steps);
                    }
                }
            }
        }
        let solution = program.solve().ok()?.into_solution().ok()?;
        let mut choice = vec![0; self.classes.len()];
        for class in needed {
            let way = taken[class].iter().position(|way| solution.var_value(*way) > 0.5);
            choice[class] = way.unwrap_or_default();
        }
        self.cost(&choice).map(|_| choice)
    }

    /// The classes that some way to compute the roots reads, ascending.
    fn needed(&self) -> Vec<usize> {
        let mut needed = vec![false; self.classes.len()];
        let mut open = self.roots.clone();
        while let Some(class) = open.pop() {
            if !std::mem::replace(&mut needed[class], true) {
                open.extend(self.classes[class].iter().flat_map(|way| &way.reads));
            }
        }
        (0..needed.len()).filter(|class| needed[*class]).collect()
    }

    /// For each class a number that classes which may read each other share.
    fn components(&self) -> Vec<usize> {
        let reads = self.classes.iter().enumerate().flat_map(|(class, ways)| {
            ways.iter().flat_map(move |way| way.reads.iter().map(move |read| (class as u32, *read as u32)))
        });
        let mut graph: DiGraph<(), (), u32> = DiGraph::from_edges(reads);
        while graph.node_count() < self.classes.len() {
            graph.add_node(());
        }
        let mut component = vec![0; self.classes.len()];
        for (number, classes) in tarjan_scc(&graph).iter().enumerate() {
            classes.iter().for_each(|class| component[class.index()] = number);
        }
        component
    }
}

#[cfg(test)]
mod tests {
    use super::super::extract::Way;
    use super::*;

    fn way(cost: f64, reads: &[usize]) -> Way {
        Way { cost, reads: reads.to_vec() }
    }

    #[test]
    fn what_is_worth_it_together_is_taken_together() {
        let shared = |own| vec![way(own, &[]), way(1.0, &[3])];
        let classes = vec![vec![way(1.0, &[1, 2])], shared(8.0), shared(8.0), vec![way(10.0, &[])]];
        let problem = Problem { classes, roots: vec![0] };
        let choice = problem.cheapest().unwrap();
        assert_eq!((choice[1], choice[2], problem.cost(&choice)), (1, 1, Some(13.0)));
    }

    #[test]
    fn no_class_reads_itself() {
        let classes = vec![vec![way(1.0, &[1]), way(9.0, &[])], vec![way(1.0, &[0]), way(7.0, &[])]];
        let problem = Problem { classes, roots: vec![0, 1] };
        let choice = problem.cheapest().unwrap();
        assert_eq!((choice.clone(), problem.cost(&choice)), (vec![0, 1], Some(8.0)));
    }

    #[test]
    fn large_problems_are_left_alone() {
        let classes = vec![vec![way(1.0, &[]); MOST_WAYS + 1]];
        assert_eq!(Problem { classes, roots: vec![0] }.cheapest(), None);
    }
}
