//! The extraction problem: choose a way to compute each class with the least total cost. A class with several readers
//! costs once.

use std::collections::BTreeSet;

/// An extraction problem.
pub(super) struct Problem {
    /// The ways to compute each class.
    pub(super) classes: Vec<Vec<Candidate>>,
    /// The classes that must be computed.
    pub(super) roots: Vec<usize>,
}

/// A way to compute a class.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Candidate {
    /// Its own cost. Must be positive, or classes could be computed from each other.
    pub(super) cost: f64,
    /// The classes that it reads.
    pub(super) reads: Vec<usize>,
}

/// The way of each class. Classes that no root needs have an arbitrary way.
pub(super) type Choice = Vec<usize>;

/// Costs with a relative difference below this count as equal.
pub(super) const LEAST: f64 = 1e-9;

impl Problem {
    /// The classes computed under `choice`, each after the classes that it reads. `None` if there is a cycle.
    pub(super) fn order(&self, choice: &Choice) -> Option<Vec<usize>> {
        #[derive(Clone, Copy, PartialEq)]
        enum State {
            New,
            Open,
            Done,
        }
        let mut state = vec![State::New; self.classes.len()];
        let mut order = Vec::new();
        let mut stack: Vec<(usize, bool)> = self.roots.iter().rev().map(|root| (*root, false)).collect();
        while let Some((class, leaving)) = stack.pop() {
            match state[class] {
                State::Open if leaving => {
                    state[class] = State::Done;
                    order.push(class);
                }
                State::Open => return None,
                State::Done => {}
                State::New => {
                    state[class] = State::Open;
                    stack.push((class, true));
                    let candidate = self.classes[class].get(choice[class])?;
                    stack.extend(
                        candidate.reads.iter().rev().filter(|c| state[**c] != State::Done).map(|c| (*c, false)),
                    );
                }
            }
        }
        Some(order)
    }

    /// The total cost under `choice`. `None` if there is a cycle.
    pub(super) fn cost(&self, choice: &Choice) -> Option<f64> {
        let order = self.order(choice)?;
        Some(order.into_iter().map(|class| self.classes[class][choice[class]].cost).sum())
    }

    /// The way of each class with the cheapest tree. In a tree, a class costs as often as it is read; costs saturate at
    /// the largest float. A class without a tree gets its first way.
    pub(super) fn cheapest_trees(&self) -> Choice {
        let mut choice = vec![0; self.classes.len()];
        let mut trees = vec![f64::INFINITY; self.classes.len()];
        let mut readers = vec![Vec::new(); self.classes.len()];
        for (class, candidates) in self.classes.iter().enumerate() {
            candidates.iter().flat_map(|candidate| &candidate.reads).for_each(|read| readers[*read].push(class));
        }
        let mut waiting: BTreeSet<usize> = (0..self.classes.len()).collect();
        while let Some(class) = waiting.pop_first() {
            for (i, candidate) in self.classes[class].iter().enumerate() {
                if candidate.reads.iter().any(|c| trees[*c].is_infinite()) {
                    continue;
                }
                let tree = (candidate.cost + candidate.reads.iter().map(|c| trees[*c]).sum::<f64>()).min(f64::MAX);
                if tree < trees[class] * (1.0 - LEAST) {
                    trees[class] = tree;
                    choice[class] = i;
                    waiting.extend(&readers[class]);
                }
            }
        }
        choice
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(cost: f64, reads: &[usize]) -> Candidate {
        Candidate { cost, reads: reads.to_vec() }
    }

    #[test]
    fn a_class_with_several_readers_costs_once() {
        // The root reads 1 and 2; both can be computed from 3, or each by itself for a little less than 3.
        let classes = vec![
            vec![candidate(1.0, &[1, 2])],
            vec![candidate(8.0, &[]), candidate(1.0, &[3])],
            vec![candidate(8.0, &[]), candidate(1.0, &[3])],
            vec![candidate(10.0, &[])],
        ];
        let problem = Problem { classes, roots: vec![0] };
        let trees = problem.cheapest_trees();
        assert_eq!((trees.clone(), problem.cost(&trees)), (vec![0; 4], Some(17.0)));
        assert_eq!(problem.descend(trees.clone(), &[]), trees, "neither is worth it alone");
        let both = problem.descend(trees, &[vec![(1, 1), (2, 1)]]);
        assert_eq!((both.clone(), problem.cost(&both)), (vec![0, 1, 1, 0], Some(13.0)));
    }

    #[test]
    fn doubled_reads_do_not_double_the_cost() {
        // Class i adds class i - 1 to itself: 2^64 ops as a tree, 65 as a graph.
        let mut classes = vec![vec![candidate(1.0, &[])]];
        classes.extend((0..64).map(|i| vec![candidate(1.0, &[i, i])]));
        let problem = Problem { classes, roots: vec![64] };
        assert_eq!(problem.cost(&problem.cheapest_trees()), Some(65.0));
    }

    #[test]
    fn trees_with_overflowing_costs_are_still_chosen() {
        // Class i adds class i - 1 to itself; its first way reads itself.
        let mut classes = vec![vec![candidate(1.0, &[])]];
        classes.extend((1..2_000).map(|i| vec![candidate(1.0, &[i]), candidate(1.0, &[i - 1, i - 1])]));
        let problem = Problem { classes, roots: vec![1_999] };
        assert_eq!(problem.cost(&problem.cheapest_trees()), Some(2_000.0));
    }

    #[test]
    fn choices_with_cycles_have_no_cost() {
        let classes =
            vec![vec![candidate(1.0, &[1]), candidate(9.0, &[])], vec![candidate(1.0, &[0]), candidate(9.0, &[])]];
        let problem = Problem { classes, roots: vec![0, 1] };
        assert_eq!(problem.cost(&vec![0, 0]), None);
        let trees = problem.cheapest_trees();
        assert_eq!(problem.cost(&problem.descend(trees, &[])), Some(10.0));
    }
}
