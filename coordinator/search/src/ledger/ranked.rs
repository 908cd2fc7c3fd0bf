//! The merged order of the classes of a [`Ledger`](super::Ledger).

use std::cmp::Ordering;

use caviar_common::numbers::index;

use crate::sorted::{Iter, SortedList, TotalF64};

/// A cost, and the place of its trial.
pub(super) type Member = (TotalF64, u32);

/// The trials of a class, and what their costs are expected to change by until their end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Class<'a> {
    pub(super) gain: f64,
    pub(super) members: &'a SortedList<Member>,
}

impl Class<'_> {
    /// The lowest expected cost.
    pub(super) fn first(&self) -> Option<f64> {
        self.members.first().map(|(cost, _)| cost.0 + self.gain)
    }

    /// The greatest expected cost.
    pub(super) fn last(&self) -> Option<f64> {
        self.members.last().map(|(cost, _)| cost.0 + self.gain)
    }

    fn nth(&self, position: usize) -> Option<f64> {
        self.members.nth(position).map(|(cost, _)| cost.0 + self.gain)
    }

    /// The number of members whose expected cost is below `cost` or, if `or_equal`, not above it.
    /// Adding the gain rounds, but keeps the order.
    fn count_below(&self, cost: f64, or_equal: bool) -> usize {
        self.members.partition_point(|(member, _)| match (member.0 + self.gain).total_cmp(&cost) {
            Ordering::Less => true,
            Ordering::Equal => or_equal,
            Ordering::Greater => false,
        })
    }
}

/// Costs and places in ascending order.
#[derive(Debug)]
pub(crate) struct Ranked<'a> {
    lists: Vec<Rest<'a>>,
}

/// The members of a class that are left.
#[derive(Debug)]
struct Rest<'a> {
    gain: f64,
    /// The expected cost of the next member, and its place.
    head: Option<(f64, u32)>,
    members: Iter<'a, Member>,
}

impl Rest<'_> {
    fn advance(&mut self) {
        self.head = self.members.next().map(|(cost, place)| (cost.0 + self.gain, *place));
    }
}

impl<'a> Ranked<'a> {
    pub(super) fn new(classes: &[Class<'a>]) -> Self {
        let rest = |class: &Class<'a>| {
            let mut rest = Rest { gain: class.gain, head: None, members: class.members.iter() };
            rest.advance();
            rest
        };
        Self { lists: classes.iter().map(rest).collect() }
    }
}

impl Iterator for Ranked<'_> {
    type Item = (f64, usize);

    fn next(&mut self) -> Option<Self::Item> {
        let heads = self.lists.iter_mut().filter_map(|list| Some((list.head?, list)));
        let order = |a: &(f64, u32), b: &(f64, u32)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        let ((cost, place), list) = heads.min_by(|(a, _), (b, _)| order(a, b))?;
        list.advance();
        Some((cost, index(place)))
    }
}

/// The expected costs with these ranks, counted from 0, which must ascend. There are fewer if the
/// last ranks are beyond the number of members.
///
/// With one class this is a look-up. With several, the position of a rank in each list is found by
/// halving: the list with the most candidates offers its middle one, and all lists count the costs
/// below it. That takes O(k² log n) steps of O(log n) for k classes. The rank of `hint` is found
/// first. If the cost with the first rank is near it, the search is short.
pub(super) fn costs_at(classes: &[Class<'_>], ranks: &[usize], hint: f64) -> Vec<f64> {
    if let [class] = classes {
        return ranks.iter().map_while(|rank| class.nth(*rank)).collect();
    }
    let mut split = Split::new(classes);
    let below: Vec<usize> = classes.iter().map(|class| class.count_below(hint, false)).collect();
    let mut costs = Vec::with_capacity(ranks.len());
    for rank in ranks {
        if costs.is_empty() {
            split.start_near(&below, *rank);
        }
        split.advance(*rank);
        costs.extend(split.next_cost());
    }
    costs
}

/// A division of the merged order into what lies before a rank and what lies after it.
struct Split<'a> {
    classes: &'a [Class<'a>],
    /// How many members of each class lie before, at least ...
    low: Vec<usize>,
    /// ... and at most.
    high: Vec<usize>,
}

impl<'a> Split<'a> {
    /// The division before the first rank.
    fn new(classes: &'a [Class<'a>]) -> Self {
        Self { classes, low: vec![0; classes.len()], high: vec![0; classes.len()] }
    }

    /// Starts at the division `below`, in front of a cost, which is not after `rank`, or leaves at
    /// most the members before it.
    fn start_near(&mut self, below: &[usize], rank: usize) {
        let before: usize = below.iter().sum();
        if before <= rank {
            self.low = below.to_vec();
        } else {
            // At least this many of the members before `below` lie after the rank.
            let after = before - rank;
            self.low = below.iter().map(|count| count.saturating_sub(after)).collect();
        }
    }

    /// Moves the division to a rank, which must not be before the present one.
    fn advance(&mut self, rank: usize) {
        let mut missing = rank.saturating_sub(self.low.iter().sum());
        let ends = self.low.iter().zip(self.classes);
        self.high = ends.map(|(low, c)| c.members.len().min(low.saturating_add(missing))).collect();
        while missing > 0 {
            let Some(pivot) = self.pivot() else { return };
            let below = self.counts(pivot, false);
            let least = gained(&self.low, &below);
            if missing <= least {
                if missing == least {
                    self.low = below;
                    return;
                }
                self.high = below;
                continue;
            }
            let up_to = self.counts(pivot, true);
            let most = gained(&self.low, &up_to);
            if missing >= most {
                (self.low, missing) = (up_to, missing - most);
                continue;
            }
            missing -= least;
            self.low = below;
            // The rest are members whose cost is the pivot, no matter which.
            for (low, up_to) in self.low.iter_mut().zip(&up_to) {
                let taken = missing.min(up_to - *low);
                (*low, missing) = (*low + taken, missing - taken);
            }
        }
    }

    /// The middle cost of the class with the most candidates.
    fn pivot(&self) -> Option<f64> {
        let windows = self.low.iter().zip(&self.high).zip(self.classes);
        let ((low, high), class) =
            windows.max_by_key(|((low, high), _)| high.saturating_sub(**low))?;
        if low < high { class.nth(low + (high - low) / 2) } else { None }
    }

    /// For each class, the end of the candidates whose cost is below the pivot or equal to it.
    fn counts(&self, pivot: f64, or_equal: bool) -> Vec<usize> {
        let windows = self.low.iter().zip(&self.high).zip(self.classes);
        let count = |((low, high), class): ((&usize, &usize), &Class<'_>)| {
            class.count_below(pivot, or_equal).clamp(*low, *low.max(high))
        };
        windows.map(count).collect()
    }

    /// The lowest cost after the division.
    fn next_cost(&self) -> Option<f64> {
        let heads = self.low.iter().zip(self.classes).filter_map(|(low, class)| class.nth(*low));
        heads.min_by(f64::total_cmp)
    }
}

/// How many members lie between two divisions.
fn gained(low: &[usize], high: &[usize]) -> usize {
    low.iter().zip(high).map(|(low, high)| high - low).sum()
}
