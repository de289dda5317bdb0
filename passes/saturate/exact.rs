//! Finds the optimal choice by integer programming.
//!
//! A binary variable for each way says whether it is taken. Each root must have a way that is taken, and so must each
//! class that a taken way reads. To exclude cycles, classes that may read each other have places in an order, and a
//! taken way puts its class after its operands (Yang et al., "Equality Saturation for Tensor Graph Superoptimization",
//! MLSys 2021, section 5.1).

use std::collections::BTreeSet;

use microlp::{ComparisonOp, OptimizationDirection, Problem as Program, SolutionStatus, SolveOptions, Variable};
use petgraph::algo::tarjan_scc;
use petgraph::graph::DiGraph;

use super::extract::{Candidate, Choice, Problem};

/// The maximum number of ways in a problem for the integer program.
pub(super) const MOST_WAYS: usize = 2_000;

/// The maximum number of branches. A count rather than a time, so that results are reproducible.
const BRANCHES: u64 = 5_000;

/// The maximum of branches times the square of the ways, which is how the time of a linear program grows.
const WORK: u64 = 100_000_000;

/// The candidate ways of a class, each with its variable.
type Ways = Vec<(usize, Variable)>;

impl Problem {
    /// Searches for the cheapest choice, starting with `start`. Returns the best found and whether it is proven
    /// optimal. `None` if the problem is too large or the solver gives up.
    pub(super) fn cheapest(&self, start: &Choice) -> Option<(Choice, bool)> {
        let needed = self.needed();
        let candidates = needed.iter().map(|class| self.classes[*class].len()).sum::<usize>();
        if candidates > MOST_WAYS {
            return None;
        }
        let computed: BTreeSet<usize> = self.order(start)?.into_iter().collect();
        let scale = self.classes.iter().flatten().map(|candidate| candidate.cost).fold(0.0, f64::max);
        let components = self.components();
        let mut program = Program::new(OptimizationDirection::Minimize);
        let mut taken: Vec<Ways> = vec![Vec::new(); self.classes.len()];
        let mut place: Vec<Option<Variable>> = vec![None; self.classes.len()];
        let mut hint = Vec::new();
        for class in &needed {
            for (i, candidate) in self.classes[*class].iter().enumerate().filter(|(i, _)| self.may_be_taken(*class, *i))
            {
                let variable = program.add_binary_var(candidate.cost / scale);
                taken[*class].push((i, variable));
                let is_hint = start[*class] == i && computed.contains(class);
                hint.push((variable, if is_hint { 1.0 } else { 0.0 }));
            }
            program.add_constraint(sum(&taken[*class]), ComparisonOp::Le, 1.0);
            place[*class] = Some(program.add_var(0.0, (0.0, components.size_of(*class) as f64)));
        }
        for root in self.roots.iter().collect::<BTreeSet<_>>() {
            program.add_constraint(sum(&taken[*root]), ComparisonOp::Ge, 1.0);
        }
        for class in &needed {
            let reads: BTreeSet<usize> =
                self.classes[*class].iter().flat_map(|candidate| candidate.reads.iter().copied()).collect();
            for read in reads {
                let readers = taken[*class]
                    .iter()
                    .filter(|(candidate, _)| self.classes[*class][*candidate].reads.contains(&read));
                let readers: Ways = readers.copied().collect();
                if readers.is_empty() {
                    continue;
                }
                let minus = |factor: f64| readers.iter().map(move |(_, variable)| (*variable, -factor));
                let any: Vec<(Variable, f64)> = sum(&taken[read]).into_iter().chain(minus(1.0)).collect();
                program.add_constraint(any, ComparisonOp::Ge, 0.0);
                if components.of[*class] == components.of[read] {
                    let steps = components.size_of(read) as f64 + 1.0;
                    let (after, before) = (place[*class]?, place[read]?);
                    let order: Vec<_> = [(after, 1.0), (before, -1.0)].into_iter().chain(minus(steps)).collect();
                    program.add_constraint(order, ComparisonOp::Ge, 1.0 - steps);
                }
            }
        }
        let mut options = SolveOptions::default();
        let branches = (WORK / (candidates * candidates).max(1) as u64).min(BRANCHES);
        (options.node_limit, options.warm_start) = (Some(branches), Some(hint));
        let solution = program.solve_with(options).ok()?.into_solution().ok()?;
        let mut choice = vec![0; self.classes.len()];
        for class in needed {
            let candidate = taken[class].iter().find(|(_, variable)| solution.var_value(*variable) > 0.5);
            choice[class] = candidate.map_or(0, |(candidate, _)| *candidate);
        }
        let proven = solution.status() == SolutionStatus::Optimal;
        self.cost(&choice).map(|_| (choice, proven))
    }

    /// Whether a way may be part of the cheapest choice. It must not read its own class, and no cheaper way (or earlier
    /// way of the same cost) may read a subset of the same classes.
    fn may_be_taken(&self, class: usize, candidate: usize) -> bool {
        let (candidates, own) = (&self.classes[class], &self.classes[class][candidate]);
        let serves = |(i, other): (usize, &Candidate)| {
            let first = other.cost < own.cost || other.cost <= own.cost && i < candidate;
            first && other.reads.iter().all(|read| own.reads.contains(read))
        };
        !own.reads.contains(&class) && !candidates.iter().enumerate().any(serves)
    }

    /// The classes that some way to compute the roots needs, in ascending order.
    fn needed(&self) -> Vec<usize> {
        let mut needed = vec![false; self.classes.len()];
        let mut open = self.roots.clone();
        while let Some(class) = open.pop() {
            if !std::mem::replace(&mut needed[class], true) {
                open.extend(self.classes[class].iter().flat_map(|candidate| &candidate.reads));
            }
        }
        (0..needed.len()).filter(|class| needed[*class]).collect()
    }

    /// The strongly connected components of the graph of possible reads.
    fn components(&self) -> Components {
        let reads = self.classes.iter().enumerate().flat_map(|(class, candidates)| {
            candidates
                .iter()
                .flat_map(move |candidate| candidate.reads.iter().map(move |read| (class as u32, *read as u32)))
        });
        let mut graph: DiGraph<(), (), u32> = DiGraph::from_edges(reads);
        while graph.node_count() < self.classes.len() {
            graph.add_node(());
        }
        let (mut of, mut sizes) = (vec![0; self.classes.len()], Vec::new());
        for (number, classes) in tarjan_scc(&graph).iter().enumerate() {
            classes.iter().for_each(|class| of[class.index()] = number);
            sizes.push(classes.len());
        }
        Components { of, sizes }
    }
}

/// Components: sets of classes that may read each other.
struct Components {
    /// The component of each class.
    of: Vec<usize>,
    /// The number of classes in each component.
    sizes: Vec<usize>,
}

impl Components {
    fn size_of(&self, class: usize) -> usize {
        self.sizes[self.of[class]]
    }
}

fn sum(candidates: &Ways) -> Vec<(Variable, f64)> {
    candidates.iter().map(|(_, variable)| (*variable, 1.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(cost: f64, reads: &[usize]) -> Candidate {
        Candidate { cost, reads: reads.to_vec() }
    }

    #[test]
    fn ways_that_pay_off_only_together_are_taken_together() {
        let shared = |own| vec![candidate(own, &[]), candidate(1.0, &[3])];
        let classes = vec![vec![candidate(1.0, &[1, 2])], shared(8.0), shared(8.0), vec![candidate(10.0, &[])]];
        let problem = Problem { classes, roots: vec![0] };
        let (choice, proven) = problem.cheapest(&vec![0; 4]).unwrap();
        assert_eq!((choice[1], choice[2], problem.cost(&choice), proven), (1, 1, Some(13.0), true));
    }

    #[test]
    fn cycles_are_excluded() {
        let classes =
            vec![vec![candidate(1.0, &[1]), candidate(9.0, &[])], vec![candidate(1.0, &[0]), candidate(7.0, &[])]];
        let problem = Problem { classes, roots: vec![0, 1] };
        let (choice, proven) = problem.cheapest(&vec![1, 1]).unwrap();
        assert_eq!((choice.clone(), problem.cost(&choice), proven), (vec![0, 1], Some(8.0), true));
        // A way that reads its own class, however cheap.
        let classes = vec![vec![candidate(0.1, &[0]), candidate(5.0, &[1])], vec![candidate(1.0, &[])]];
        let problem = Problem { classes, roots: vec![0] };
        assert_eq!(problem.cheapest(&vec![1, 0]), Some((vec![1, 0], true)));
    }

    #[test]
    fn large_problems_are_not_solved() {
        let classes = vec![vec![candidate(1.0, &[]); MOST_WAYS + 1]];
        assert_eq!(Problem { classes, roots: vec![0] }.cheapest(&vec![0]), None);
    }
}
