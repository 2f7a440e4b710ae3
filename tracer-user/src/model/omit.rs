//! Values that are left out of the serialised form, as their absence says the same.

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde demands it")]
pub(super) fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde demands it")]
pub(super) fn is_false(it: &bool) -> bool {
    !*it
}
