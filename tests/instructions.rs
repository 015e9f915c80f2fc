//! The judge of `make instructions`: what counts as dearer, and what is said where figures do not compare.
#![cfg(test)]

#[path = "../benches/instructions/figures.rs"]
mod figures;
#[path = "../benches/instructions/profile.rs"]
mod profile;

use figures::{Conditions, Cost, Figures, Verdict, compare};

fn conditions() -> Conditions {
    Conditions {
        target: "x86_64-unknown-linux-gnu".to_owned(),
        rustc: "rustc 1.95.0".to_owned(),
        libc: "glibc 2.36".to_owned(),
        valgrind: "valgrind-3.19.0".to_owned(),
    }
}

/// Figures of one part.
fn figures(instructions: f64, allocations: f64) -> Figures {
    let parts = [("message".to_owned(), Cost { instructions, allocations })].into();
    Figures { conditions: conditions(), parts }
}

/// What becomes of a part that took 1,000 instructions and two allocations, and whether that is well.
fn becomes(now: &Figures) -> (Verdict, bool) {
    let comparison = compare(&figures(1_000.0, 2.0), now);
    (comparison.parts[0].verdict, comparison.is_well())
}

#[test]
fn a_tenth_more_instructions_fails_and_a_tenth_less_asks_for_new_figures() {
    assert_eq!(becomes(&figures(1_101.0, 2.0)), (Verdict::Dearer, false));
    assert_eq!(becomes(&figures(1_099.0, 2.0)), (Verdict::Same, true));
    assert_eq!(becomes(&figures(920.0, 2.0)), (Verdict::Same, true));
    assert_eq!(becomes(&figures(900.0, 2.0)), (Verdict::Cheaper, true));
}

#[test]
fn one_allocation_more_in_ten_events_fails_and_one_less_asks_for_new_figures() {
    assert_eq!(becomes(&figures(1_000.0, 2.1)), (Verdict::Dearer, false));
    assert_eq!(becomes(&figures(1_000.0, 2.04)), (Verdict::Same, true));
    assert_eq!(becomes(&figures(1_000.0, 1.9)), (Verdict::Cheaper, true));
    assert_eq!(becomes(&figures(800.0, 2.1)), (Verdict::Dearer, false), "fewer instructions do not make up for it");
}

#[test]
fn under_another_compiler_the_bound_is_wider_and_that_is_said() {
    let with = |instructions| {
        let mut now = figures(instructions, 2.0);
        "rustc 1.96.0".clone_into(&mut now.conditions.rustc);
        now
    };
    assert_eq!(becomes(&with(1_249.0)), (Verdict::Same, true));
    assert_eq!(becomes(&with(1_251.0)), (Verdict::Dearer, false));
    let said = compare(&figures(1_000.0, 2.0), &with(1_249.0)).to_string();
    for part in ["rustc was \"rustc 1.95.0\" when", "is \"rustc 1.96.0\"", "25 % more, not 10 %"] {
        assert!(said.contains(part), "{part:?} is missing: {said}");
    }
}

#[test]
fn on_another_processor_allocations_alone_are_compared_and_that_is_said() {
    let with = |allocations| {
        let mut now = figures(9_000.0, allocations);
        "aarch64-unknown-linux-gnu".clone_into(&mut now.conditions.target);
        "glibc 2.41".clone_into(&mut now.conditions.libc);
        now
    };
    assert_eq!(becomes(&with(2.0)), (Verdict::Same, true));
    assert_eq!(becomes(&with(3.0)), (Verdict::Dearer, false));
    assert!(compare(&figures(1_000.0, 2.0), &with(2.0)).to_string().contains("NOT COMPARED"));
}

#[test]
fn a_part_without_figures_and_figures_without_a_part_fail() {
    let mut now = figures(1_000.0, 2.0);
    let cost = now.parts.remove("message").unwrap();
    now.parts.insert("another".to_owned(), cost);
    let comparison = compare(&figures(1_000.0, 2.0), &now);
    assert_eq!(comparison.parts.len(), 2);
    assert!(comparison.parts.iter().all(|part| part.verdict == Verdict::Unknown) && !comparison.is_well());
    assert!(comparison.to_string().contains("REFRESH=1"), "{comparison}");
}

#[test]
fn what_is_written_is_read_again() {
    let figures = figures(1_234.5, 0.125);
    assert_eq!(figures.to_string().parse(), Ok(figures));
    let kept: Figures = include_str!("../benches/instructions/figures.toml").parse().unwrap();
    assert!(kept.parts.values().all(|cost| cost.instructions > 1.0), "{kept}");
}

#[test]
fn a_profile_gives_its_instructions_and_the_calls_of_the_allocator() {
    let text = "\
events: Ir
fn=instructions::a_counted_part
0 12
cob=/lib/libc.so.6
cfn=malloc
calls=30 0
0 600
cfn=core::fmt::write
calls=7 0
0 80
fn=walpost::message
cfn=realloc
calls=4 0
0 90
cfn=malloc_consolidate
calls=1 0
0 9

totals: 791
";
    let counted = profile::read(text).unwrap();
    assert_eq!((counted.instructions, counted.allocations), (791, 34));
    for broken in ["", "totals: 0\n", "totals: many\n", "cfn=malloc\ncalls=x 0\ntotals: 1\n"] {
        assert!(profile::read(broken).is_err(), "{broken:?} counts as a profile");
    }
}
