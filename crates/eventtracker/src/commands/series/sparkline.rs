//! A series as one line of block characters.

/// The columns, from the smallest to the largest.
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// How many points share a column, so that all columns but the first hold equally many.
pub(super) fn points_per_column(points: usize, width: usize) -> usize {
    points.div_ceil(width.max(1)).max(1)
}

/// The graph: at most `width` columns, each the sum of its points. The lowest block is zero, the highest the largest sum, a space a
/// column without a known point. The first column may hold fewer points; the newest is always a whole one.
pub(super) fn sparkline(counts: &[Option<u128>], width: usize) -> String {
    let sums: Vec<Option<u128>> = counts
        .rchunks(points_per_column(counts.len(), width))
        .rev()
        .map(|points| points.iter().flatten().copied().reduce(u128::saturating_add))
        .collect();
    let largest = sums.iter().flatten().copied().max().unwrap_or(0).max(1);
    sums.into_iter()
        .map(|sum| sum.map_or(' ', |sum| block(sum, largest)))
        .collect()
}

/// The block for a sum: its share of the largest, rounded up, so that one event differs from none.
fn block(sum: u128, largest: u128) -> char {
    let level = sum.saturating_mul(7).div_ceil(largest);
    usize::try_from(level)
        .ok()
        .and_then(|level| BLOCKS.get(level))
        .copied()
        .unwrap_or('█')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heights_follow_the_counts() {
        let counts = [Some(0), Some(1), Some(350), Some(700), None, Some(700)];
        assert_eq!(sparkline(&counts, 100), "▁▂▅█ █");
        assert_eq!(sparkline(&[Some(0), Some(0)], 100), "▁▁");
        assert_eq!(sparkline(&[None, None], 100), "  ");
        assert_eq!(sparkline(&[], 100), "");
    }

    #[test]
    fn columns_are_sums_and_the_newest_is_whole() {
        let counts = [Some(1), Some(1), Some(1), None, None, None, Some(2), Some(5)];
        assert_eq!(points_per_column(counts.len(), 3), 3);
        assert_eq!(sparkline(&counts, 3), "▃▂█");
        assert_eq!(sparkline(&counts, 1), "█");
        assert_eq!(sparkline(&counts, 0), "█");
    }

    #[test]
    fn any_counts_fit() {
        assert_eq!(sparkline(&[Some(u64::MAX.into()); 4], 2), "██");
        assert_eq!(sparkline(&[Some(u128::MAX); 4], 2).chars().count(), 2);
        for points in 0..300 {
            assert!(sparkline(&vec![Some(1); points], 100).chars().count() <= 100);
        }
    }
}
