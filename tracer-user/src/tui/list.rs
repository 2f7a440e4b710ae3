//! A list that can be longer than the screen: which row is chosen, and which are in sight. Both
//! follow what they are on when rows come, go or move.

use super::facts::Key;

/// Rows, one of them chosen unless there are none.
#[derive(Debug, Default)]
pub(super) struct List {
    /// What the rows stand for: indices into the snapshot.
    order: Vec<usize>,
    /// What is chosen, whatever its row.
    wanted: Option<Key>,
    /// The chosen row.
    row: usize,
    /// The first row in sight.
    top: usize,
    /// How many were in sight when it was last drawn.
    height: usize,
}

impl List {
    /// The rows, in order.
    pub(super) fn order(&self) -> &[usize] {
        &self.order
    }

    /// What was chosen last, even if it is not among the rows.
    pub(super) fn wanted(&self) -> Option<&Key> {
        self.wanted.as_ref()
    }

    /// What the chosen row stands for.
    pub(super) fn chosen(&self) -> Option<usize> {
        self.order.get(self.row).copied()
    }

    /// The chosen row; meaningless in an empty list.
    pub(super) fn row(&self) -> usize {
        self.row
    }

    /// Whether there are more rows than were in sight.
    pub(super) fn is_cut(&self) -> bool {
        self.order.len() > self.height
    }

    /// Takes new rows, of which `wanted` is what was chosen. If it is not there, the row stays.
    pub(super) fn fill(&mut self, order: Vec<usize>, wanted: Option<usize>) {
        let offset = self.row.saturating_sub(self.top);
        let found = wanted.and_then(|index| order.iter().position(|other| *other == index));
        self.order = order;
        self.row = found.unwrap_or(self.row).min(self.last());
        // Who looks at the head of a list goes on looking at it; else the chosen row stays where
        // it is on the screen.
        if self.top > 0 {
            self.top = self.row.saturating_sub(offset);
        }
        self.fit(self.height);
    }

    /// Chooses `key` once it is among the rows.
    pub(super) fn want(&mut self, key: Option<Key>) {
        self.wanted = key;
    }

    /// Moves by so many rows. The caller says what is then chosen: see [`Self::want`].
    pub(super) fn step(&mut self, by: isize) {
        self.row = self.row.saturating_add_signed(by).min(self.last());
        self.fit(self.height);
    }

    /// Moves by a screen.
    pub(super) fn page(&mut self, forward: bool) {
        let page = isize::try_from(self.height.saturating_sub(1).max(1)).unwrap_or(isize::MAX);
        self.step(if forward { page } else { -page });
    }

    /// Moves to the first or the last row.
    pub(super) fn edge(&mut self, last: bool) {
        self.row = if last { self.last() } else { 0 };
        self.fit(self.height);
    }

    /// Sees to it that the chosen row is among the `height` in sight, and that none of these is
    /// empty without need. Returns the rows in sight.
    pub(super) fn fit(&mut self, height: usize) -> std::ops::Range<usize> {
        self.height = height;
        let height = height.max(1);
        self.top = self
            .top
            .min(self.order.len().saturating_sub(height))
            .min(self.row)
            .max((self.row + 1).saturating_sub(height));
        self.top..self.order.len().min(self.top + height)
    }

    fn last(&self) -> usize {
        self.order.len().saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(rows: usize, height: usize) -> List {
        let mut list = List::default();
        list.fill((0..rows).collect(), None);
        list.fit(height);
        list
    }

    #[test]
    fn moves_within_its_rows() {
        let mut list = list(5, 3);
        list.step(-1);
        assert_eq!(list.chosen(), Some(0));
        list.step(3);
        assert_eq!((list.chosen(), list.fit(3)), (Some(3), 1..4));
        list.page(true);
        assert_eq!((list.chosen(), list.fit(3)), (Some(4), 2..5));
        list.page(false);
        assert_eq!((list.chosen(), list.fit(3)), (Some(2), 2..5));
        list.edge(false);
        assert_eq!((list.chosen(), list.fit(3)), (Some(0), 0..3));
        list.edge(true);
        assert_eq!(list.chosen(), Some(4));
    }

    #[test]
    fn what_is_chosen_stays_where_it_is_on_the_screen() {
        let mut list = list(10, 4);
        list.step(6);
        assert_eq!(list.fit(4), 3..7);
        // Two rows come before all others: what was 6 is 8 now.
        list.fill((0..12).collect(), Some(8));
        assert_eq!((list.chosen(), list.fit(4)), (Some(8), 5..9));
    }

    #[test]
    fn who_looks_at_the_head_goes_on_doing_so() {
        let mut list = list(3, 4);
        list.fill((0..5).collect(), Some(2));
        assert_eq!((list.row(), list.fit(4)), (2, 0..4));
        list.fill((0..9).collect(), Some(6));
        assert_eq!((list.row(), list.fit(4)), (6, 3..7));
    }

    #[test]
    fn an_empty_list_has_nothing_chosen() {
        let mut list = list(5, 3);
        list.edge(true);
        list.fill(Vec::new(), Some(4));
        assert_eq!((list.chosen(), list.fit(3)), (None, 0..0));
        list.step(1);
        list.page(true);
        assert_eq!(list.chosen(), None);
        assert_eq!(list.fit(0), 0..0);
    }
}
