//! Summation that loses no small addends: Kahan's, with Neumaier's improvement, as Prometheus sums.

/// A running sum.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sum {
    /// What has been summed up.
    pub(crate) sum: f64,
    /// What has been lost in rounding so far.
    pub(crate) lost: f64,
}

impl Sum {
    /// The sum with one more addend.
    pub(crate) fn add(self, addend: f64) -> Sum {
        let total = self.sum + addend;
        let lost = if total.is_infinite() {
            0.0
        } else if self.sum.abs() >= addend.abs() {
            self.lost + ((self.sum - total) + addend)
        } else {
            self.lost + ((addend - total) + self.sum)
        };
        Sum { sum: total, lost }
    }

    /// The sum with what was lost.
    pub(crate) fn total(self) -> f64 {
        self.sum + self.lost
    }
}

/// Four running sums side by side, each as [`Sum`] has it: the processor does more than one at once.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    sum: [f64; 4],
    lost: [f64; 4],
}

impl Sums {
    /// The sums with one more addend each.
    #[inline]
    pub(super) fn add(&mut self, addends: [f64; 4]) {
        for (at, addend) in addends.into_iter().enumerate() {
            let (sum, lost) = (self.sum[at], self.lost[at]);
            let total = sum + addend;
            let (large, small) = if sum.abs() >= addend.abs() { (sum, addend) } else { (addend, sum) };
            self.lost[at] = if total.is_infinite() { 0.0 } else { lost + ((large - total) + small) };
            self.sum[at] = total;
        }
    }

    /// The sums with what was lost.
    pub(super) fn totals(self) -> [f64; 4] {
        std::array::from_fn(|at| self.sum[at] + self.lost[at])
    }
}

/// A running mean: the sum is divided at the end as long as it does not overflow, and kept as a mean from there on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mean {
    count: f64,
    sum: Sum,
    incremental: bool,
}

impl Mean {
    /// The mean of one value.
    pub(super) fn of(first: f64) -> Mean {
        Mean { count: 1.0, sum: Sum { sum: first, lost: 0.0 }, incremental: false }
    }

    /// Takes one more value in.
    pub(super) fn add(&mut self, value: f64) {
        self.count += 1.0;
        if !self.incremental {
            let sum = self.sum.add(value);
            if !sum.sum.is_infinite() {
                self.sum = sum;
                return;
            }
            self.incremental = true;
            let before = self.count - 1.0;
            self.sum = Sum { sum: self.sum.sum / before, lost: self.sum.lost / before };
        }
        let share = (self.count - 1.0) / self.count;
        self.sum = Sum { sum: share * self.sum.sum, lost: share * self.sum.lost }.add(value / self.count);
    }

    /// The mean of all values taken in.
    pub(super) fn value(self) -> f64 {
        if self.incremental { self.sum.total() } else { self.sum.sum / self.count + self.sum.lost / self.count }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_addends_are_not_lost_and_a_mean_does_not_overflow() {
        let sum = [1.0, 1e100, 1.0, -1e100].into_iter().fold(Sum::default(), Sum::add);
        assert_eq!(sum.total(), 2.0);
        let mut sums = Sums::default();
        for addend in [1.0, 1e100, 1.0, -1e100] {
            sums.add([addend, -addend, f64::MAX, addend / 0.0]);
        }
        assert_eq!(sums.totals()[..3], [2.0, -2.0, f64::INFINITY]);
        assert!(sums.totals()[3].is_nan());
        let mut mean = Mean::of(f64::MAX);
        mean.add(f64::MAX);
        assert_eq!(mean.value(), f64::MAX);
    }
}
