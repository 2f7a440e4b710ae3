//! Compact histograms of durations: an edge has two, and there are tens of thousands of edges.

use smallvec::SmallVec;

use crate::model::Quantiles;

/// Precision: bits of a value after its highest one.
const BITS: u32 = 4;
/// Buckets in each doubling.
const STEPS: u64 = 1 << BITS;

/// A histogram. A bucket spans a sixteenth of its value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Histogram {
    /// Number of the bucket, and how many are in it; in order, without empty ones.
    buckets: SmallVec<[(u16, u32); 2]>,
    count: u64,
    min: u64,
    max: u64,
}

impl Histogram {
    /// Counts `value`.
    pub(super) fn add(&mut self, value: u64) {
        self.put(bucket(value), 1);
        self.extend(1, value, value);
    }

    /// Adds the counts of `other`.
    pub(super) fn merge(&mut self, other: &Self) {
        for (bucket, count) in &other.buckets {
            self.put(*bucket, *count);
        }
        if other.count > 0 {
            self.extend(other.count, other.min, other.max);
        }
    }

    fn put(&mut self, bucket: u16, count: u32) {
        match self.buckets.binary_search_by_key(&bucket, |(it, _)| *it) {
            Ok(at) => self.buckets[at].1 = self.buckets[at].1.saturating_add(count),
            Err(at) => self.buckets.insert(at, (bucket, count)),
        }
    }

    fn extend(&mut self, count: u64, min: u64, max: u64) {
        self.min = if self.count == 0 {
            min
        } else {
            self.min.min(min)
        };
        self.max = self.max.max(max);
        self.count += count;
    }

    /// The quantiles; none if there is no value.
    pub(super) fn quantiles(&self) -> Option<Quantiles> {
        (self.count > 0).then(|| Quantiles {
            count: self.count,
            min: self.min,
            max: self.max,
            p50: self.quantile(50),
            p95: self.quantile(95),
            p99: self.quantile(99),
        })
    }

    /// The value at `percent`, to the precision of a bucket.
    fn quantile(&self, percent: u64) -> u64 {
        let total: u64 = self
            .buckets
            .iter()
            .map(|(_, count)| u64::from(*count))
            .sum();
        let rank = (u128::from(total) * u128::from(percent)).div_ceil(100);
        let mut below = 0;
        for (bucket, count) in &self.buckets {
            below += u128::from(*count);
            if below >= rank {
                return last_of(*bucket).clamp(self.min, self.max);
            }
        }
        self.max
    }
}

fn bucket(value: u64) -> u16 {
    if value < STEPS {
        return value as u16;
    }
    let high = 63 - value.leading_zeros();
    let step = value >> (high - BITS) & (STEPS - 1);
    // At most (63 - 4 + 1) * 16 + 15.
    (u64::from(high - BITS + 1) * STEPS + step) as u16
}

/// The greatest value in a bucket.
fn last_of(bucket: u16) -> u64 {
    let (doubling, step) = (u64::from(bucket) / STEPS, u64::from(bucket) % STEPS);
    match doubling {
        0 => step,
        _ => {
            let first = (STEPS + step) << (doubling - 1);
            first + ((1 << (doubling - 1)) - 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_value_is_in_its_bucket(value: u64) {
            let bucket = bucket(value);
            prop_assert!(value <= last_of(bucket));
            prop_assert!(bucket == 0 || value > last_of(bucket - 1));
            prop_assert!(last_of(bucket) - value <= value / STEPS);
        }

        #[test]
        fn quantiles_are_right_to_a_sixteenth(
            mut values in prop::collection::vec(0..10_000_000_000_u64, 1..200),
            at in 0..200_usize,
        ) {
            let mut whole = Histogram::default();
            let mut parts = [Histogram::default(), Histogram::default()];
            for (n, value) in values.iter().enumerate() {
                whole.add(*value);
                parts[usize::from(n >= at)].add(*value);
            }
            let [mut merged, second] = parts;
            merged.merge(&second);
            prop_assert_eq!(&merged, &whole);
            values.sort_unstable();
            let quantiles = whole.quantiles().expect("values");
            prop_assert_eq!(quantiles.count, values.len() as u64);
            prop_assert_eq!(quantiles.min, values[0]);
            prop_assert_eq!(quantiles.max, values[values.len() - 1]);
            for (percent, told) in [(50, quantiles.p50), (95, quantiles.p95), (99, quantiles.p99)] {
                let exact = values[(values.len() * percent).div_ceil(100) - 1];
                prop_assert!(told >= exact && told - exact <= exact / STEPS, "{told} for {exact}");
            }
        }
    }

    #[test]
    fn nothing_has_no_quantiles() {
        assert_eq!(Histogram::default().quantiles(), None);
    }
}
