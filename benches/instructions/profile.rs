//! Reads a profile of Callgrind; pure.
//!
//! The format is in <https://valgrind.org/docs/manual/cl-format.html>. Calls of the C library's allocator are the allocations:
//! Rust's own allocator does nothing but call it.

/// What Rust's allocator calls.
const ALLOCATORS: [&str; 4] = ["malloc", "calloc", "realloc", "posix_memalign"];

/// What was counted in one part.
pub(crate) struct Count {
    pub(crate) instructions: u64,
    pub(crate) allocations: u64,
}

/// Reads a profile: the instructions in all, and how often an allocator was called.
pub(crate) fn read(profile: &str) -> Result<Count, String> {
    let totals = profile.lines().find_map(|line| line.strip_prefix("totals: "));
    let instructions = totals.and_then(|text| text.trim().parse().ok()).filter(|total| *total > 0);
    let instructions = instructions.ok_or("a profile of Callgrind counts no instruction")?;
    let (mut allocations, mut is_allocator) = (0, false);
    for line in profile.lines() {
        if let Some(called) = line.strip_prefix("cfn=") {
            is_allocator = ALLOCATORS.contains(&called);
        } else if let Some(calls) = line.strip_prefix("calls=").filter(|_| is_allocator) {
            let calls = calls.split(' ').next().and_then(|count| count.parse::<u64>().ok());
            allocations += calls.ok_or_else(|| format!("a profile of Callgrind has a line {line:?}"))?;
        }
    }
    Ok(Count { instructions, allocations })
}
