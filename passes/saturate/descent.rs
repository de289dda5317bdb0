//! Descent: improves a choice by changes that each lower the total cost.
//!
//! Evaluating a change takes time proportional to its effect. Reader counts per class tell which classes a change adds
//! and removes. A topological order of the classes limits the search for cycles to the classes between two places
//! (Pearce and Kelly, "A Dynamic Topological Sort Algorithm for Directed Acyclic Graphs", JEA 2007).

use std::collections::BTreeSet;

use super::extract::{Candidate, Choice, LEAST, Problem};

impl Problem {
    /// Improves `choice` until no change makes the total cheaper. A change sets the way of one class, or of several as
    /// listed in `together`. A choice with a cycle stays as it is.
    pub(super) fn descend(&self, choice: Choice, together: &[Vec<(usize, usize)>]) -> Choice {
        let Some(order) = self.order(&choice) else { return choice };
        let mut descent = Descent::of(self, choice, &order);
        loop {
            let before = descent.cost;
            for class in self.order(&descent.choice).unwrap_or_default() {
                (0..self.classes[class].len()).for_each(|candidate| descent.try_change(&[(class, candidate)]));
            }
            together.iter().for_each(|change| descent.try_change(change));
            if descent.cost >= before * (1.0 - LEAST) {
                return descent.choice;
            }
        }
    }
}

struct Descent<'p> {
    problem: &'p Problem,
    choice: Choice,
    /// How often each class is a root or is read by computed classes. A class with count 0 is not computed.
    readers: Vec<usize>,
    /// The total cost.
    cost: f64,
    /// The place of each class in the order.
    place: Vec<usize>,
    /// How many of its operands each class is ordered after; for the others the order does not hold yet.
    placed: Vec<usize>,
    /// The classes that may read each class.
    may_read: Vec<Vec<usize>>,
}

/// The undo log of a change.
#[derive(Default)]
struct Log {
    /// The previous ways, reader counts and places of classes. Undone in reverse order.
    candidates: Vec<(usize, usize)>,
    readers: Vec<(usize, usize)>,
    places: Vec<(usize, usize)>,
    /// The classes whose operands have changed.
    reading: Vec<usize>,
}

impl<'p> Descent<'p> {
    /// Starts from `choice`, which computes the classes in `order`.
    fn of(problem: &'p Problem, choice: Choice, order: &[usize]) -> Self {
        let count = problem.classes.len();
        let mut readers = vec![0; count];
        let mut placed = vec![0; count];
        let mut cost = 0.0;
        problem.roots.iter().for_each(|root| readers[*root] += 1);
        for class in order {
            let candidate = &problem.classes[*class][choice[*class]];
            candidate.reads.iter().for_each(|read| readers[*read] += 1);
            placed[*class] = candidate.reads.len();
            cost += candidate.cost;
        }
        let place = places(problem, order);
        Self { problem, choice, readers, cost, place, placed, may_read: may_read(problem) }
    }

    fn candidate(&self, class: usize) -> &'p Candidate {
        &self.problem.classes[class][self.choice[class]]
    }

    /// Makes the change if it lowers the total cost.
    fn try_change(&mut self, change: &[(usize, usize)]) {
        let changes = |(class, candidate): &&(usize, usize)| self.choice[*class] != *candidate;
        let change: Vec<(usize, usize)> = change.iter().filter(changes).copied().collect();
        if change.iter().all(|(class, _)| self.readers[*class] == 0) {
            return;
        }
        let (before, mut log) = (self.cost, Log::default());
        self.choose(&change, &mut log);
        if self.cost >= before * (1.0 - LEAST) || !self.put_in_order(&mut log) {
            self.undo(log);
            self.cost = before;
        }
    }

    /// Sets the new ways. Adds their operands before removing those of the old ways, because both may read the same
    /// class.
    fn choose(&mut self, change: &[(usize, usize)], log: &mut Log) {
        let computed = change.iter().filter(|(class, _)| self.readers[*class] > 0);
        let computed: Vec<(usize, &Candidate)> = computed.map(|(class, _)| (*class, self.candidate(*class))).collect();
        for (class, candidate) in change {
            log.candidates.push((*class, self.choice[*class]));
            self.choice[*class] = *candidate;
        }
        for (class, old) in &computed {
            self.cost += self.candidate(*class).cost - old.cost;
            log.reading.push(*class);
            self.acquire(&self.candidate(*class).reads, log);
        }
        computed.iter().for_each(|(_, old)| self.release(&old.reads, log));
    }

    /// Adds a reader to each class. Classes without readers before are computed from now on.
    fn acquire(&mut self, reads: &[usize], log: &mut Log) {
        let mut open = reads.to_vec();
        while let Some(class) = open.pop() {
            log.readers.push((class, self.readers[class]));
            self.readers[class] += 1;
            if self.readers[class] == 1 {
                self.cost += self.candidate(class).cost;
                open.extend(&self.candidate(class).reads);
                log.reading.push(class);
            }
        }
    }

    /// Removes a reader from each class. Classes without readers left are no longer computed.
    fn release(&mut self, reads: &[usize], log: &mut Log) {
        let mut open = reads.to_vec();
        while let Some(class) = open.pop() {
            log.readers.push((class, self.readers[class]));
            self.readers[class] -= 1;
            if self.readers[class] == 0 {
                self.cost -= self.candidate(class).cost;
                open.extend(&self.candidate(class).reads);
                log.reading.push(class);
            }
        }
    }

    /// Restores the order for the classes whose operands changed. Returns false if there is a cycle.
    fn put_in_order(&mut self, log: &mut Log) -> bool {
        let reading = std::mem::take(&mut log.reading);
        reading.iter().for_each(|class| self.placed[*class] = 0);
        let computed: BTreeSet<usize> = reading.iter().copied().filter(|class| self.readers[*class] > 0).collect();
        let done = computed.into_iter().all(|class| {
            self.candidate(class).reads.iter().all(|read| {
                let done = self.put_after(class, *read, log);
                self.placed[class] += usize::from(done);
                done
            })
        });
        log.reading = reading;
        done
    }

    /// Moves `class` after `read`, together with the classes in between that must move. Returns false if `read` depends
    /// on `class`.
    fn put_after(&mut self, class: usize, read: usize, log: &mut Log) -> bool {
        let [first, last] = [self.place[class], self.place[read]];
        if last < first {
            return true;
        }
        let below = self.reached(read, |class| self.reads(class).to_vec(), |place| place >= first);
        if below.contains(&class) {
            return false;
        }
        let above = self.reached(class, |class| self.computed_readers(class), |place| place <= last);
        let moved = [below, above].concat();
        let mut places: Vec<usize> = moved.iter().map(|class| self.place[*class]).collect();
        places.sort_unstable();
        for (class, place) in moved.into_iter().zip(places) {
            log.places.push((class, self.place[class]));
            self.place[class] = place;
        }
        true
    }

    /// The classes reached from `start` by `next` within the places accepted by `near`, in the order of places.
    fn reached(&self, start: usize, next: impl Fn(usize) -> Vec<usize>, near: impl Fn(usize) -> bool) -> Vec<usize> {
        let (mut reached, mut open) = (BTreeSet::new(), vec![start]);
        while let Some(class) = open.pop() {
            if near(self.place[class]) && reached.insert((self.place[class], class)) {
                open.extend(next(class));
            }
        }
        reached.into_iter().map(|(_, class)| class).collect()
    }

    /// The operands that `class` is ordered after.
    fn reads(&self, class: usize) -> &'p [usize] {
        &self.candidate(class).reads[..self.placed[class]]
    }

    /// The readers of `class` that are ordered after it.
    fn computed_readers(&self, class: usize) -> Vec<usize> {
        let readers = self.may_read[class].iter();
        readers.copied().filter(|reader| self.reads(*reader).contains(&class)).collect()
    }

    fn undo(&mut self, log: Log) {
        log.places.into_iter().rev().for_each(|(class, place)| self.place[class] = place);
        log.readers.into_iter().rev().for_each(|(class, readers)| self.readers[class] = readers);
        log.candidates.into_iter().rev().for_each(|(class, candidate)| self.choice[class] = candidate);
        for class in log.reading {
            self.placed[class] = if self.readers[class] > 0 { self.candidate(class).reads.len() } else { 0 };
        }
    }
}

/// The classes that may read each class.
fn may_read(problem: &Problem) -> Vec<Vec<usize>> {
    let mut readers = vec![Vec::new(); problem.classes.len()];
    for (class, candidates) in problem.classes.iter().enumerate() {
        candidates.iter().flat_map(|candidate| &candidate.reads).for_each(|read| readers[*read].push(class));
    }
    readers
}

/// An initial place for each class: the classes of `order` in that order, each preceded by the other classes that it
/// may read.
fn places(problem: &Problem, order: &[usize]) -> Vec<usize> {
    let count = problem.classes.len();
    let mut computed = vec![false; count];
    order.iter().for_each(|class| computed[*class] = true);
    let (mut place, mut seen, mut next) = (vec![0; count], vec![false; count], 0);
    let rest = (0..count).filter(|class| !computed[*class]);
    for start in order.iter().copied().chain(rest) {
        let mut open = vec![(start, false)];
        while let Some((class, leaving)) = open.pop() {
            if leaving {
                place[class] = next;
                next += 1;
            } else if !std::mem::replace(&mut seen[class], true) {
                open.push((class, true));
                let reads = problem.classes[class].iter().flat_map(|candidate| &candidate.reads);
                open.extend(reads.filter(|read| !seen[**read] && !computed[**read]).map(|read| (*read, false)));
            }
        }
    }
    place
}

#[cfg(test)]
mod tests {
    use netc_testgen::property::config;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Random ways for `count` classes. The first way of each class reads only earlier classes, the others any.
    fn classes(count: usize) -> impl Strategy<Value = Vec<Vec<Candidate>>> {
        let candidate =
            (1..20_u8, vec(0..count, 0..4)).prop_map(|(cost, reads)| Candidate { cost: cost.into(), reads });
        vec(vec(candidate, 1..4), count).prop_map(|mut classes| {
            classes
                .iter_mut()
                .enumerate()
                .for_each(|(class, candidates)| candidates[0].reads.retain(|read| *read < class));
            classes
        })
    }

    /// Ways of two classes.
    type Pair = [(usize, usize); 2];

    /// Random classes, roots, and changes of two classes.
    fn problems() -> impl Strategy<Value = (Vec<Vec<Candidate>>, Vec<usize>, Vec<Pair>)> {
        (2..16_usize).prop_flat_map(|count| {
            let pair = ((0..count, 0..3_usize), (0..count, 0..3_usize)).prop_map(|(a, b)| [a, b]);
            (classes(count), vec(0..count, 1..4), vec(pair, 8))
        })
    }

    fn changed(choice: &Choice, change: &[(usize, usize)]) -> Choice {
        let mut changed = choice.clone();
        change.iter().for_each(|(class, candidate)| changed[*class] = *candidate);
        changed
    }

    proptest! {
        #![proptest_config(config(2_000))]

        #[test]
        fn descent_ends_where_no_change_lowers_the_cost((classes, roots, pairs) in problems()) {
            let fits = |[a, b]: &Pair| a.0 != b.0 && [a, b].iter().all(|(c, candidate)| *candidate < classes[*c].len());
            let pairs: Vec<Vec<(usize, usize)>> = pairs.iter().filter(|pair| fits(pair)).map(|pair| pair.to_vec()).collect();
            let each = classes.iter().enumerate().flat_map(|(c, candidates)| (0..candidates.len()).map(move |candidate| vec![(c, candidate)]));
            let changes: Vec<Vec<(usize, usize)>> = each.chain(pairs.clone()).collect();
            let problem = Problem { classes, roots };
            let choice = problem.descend(vec![0; problem.classes.len()], &pairs);
            let cost = problem.cost(&choice).unwrap();
            for change in changes {
                let other = problem.cost(&changed(&choice, &change));
                prop_assert!(other.is_none_or(|other| other >= cost), "{:?} of {:?} of {}", change, choice, cost);
            }
        }
    }
}
