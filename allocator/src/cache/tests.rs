//! How the stacks of a cache get room, and at whose cost.

use core::alloc::Layout;

use super::*;
use crate::config::SizeClasses;

/// An empty cache, and the classes of its stacks.
fn cache(budget: usize) -> (Classes, &'static Cache) {
    let classes = Classes::new(&SizeClasses::Steps8);
    let layout = Layout::from_size_align(Cache::bytes(&classes, budget), 64).unwrap();
    // SAFETY: zero, as large and as aligned as it must be, and never freed.
    let cache = unsafe {
        let memory = NonNull::new(std::alloc::alloc_zeroed(layout)).unwrap();
        Cache::make(memory, &classes, budget).as_ref()
    };
    (classes, cache)
}

/// The bytes that all stacks may hold together.
fn room(classes: &Classes, cache: &Cache) -> usize {
    (1..=classes.last()).map(|class| cache.stack(class).room() * classes.size(class)).sum()
}

/// Widens a stack as far as it goes.
fn widen(classes: &Classes, cache: &Cache, class: usize) {
    for _ in 0..100 {
        if cache.is_cramped(class) {
            // SAFETY: cramped, and no other thread knows of it.
            unsafe { cache.spread(classes, class) };
        }
        cache.widen(classes, class);
    }
}

#[test]
fn a_stack_has_few_slots_until_it_gets_its_own() {
    let (classes, cache) = cache(1 << 20);
    let class = classes.of(64);
    for _ in 0..100 {
        cache.widen(&classes, class);
    }
    assert!(cache.is_cramped(class) && cache.stack(class).room() == FEW);
    let blocks: Vec<_> = (1..=FEW).map(|n| NonNull::new((n * 64) as *mut u8).unwrap()).collect();
    assert!(blocks.iter().all(|&block| cache.stack(class).push(block)));
    widen(&classes, cache, class);
    assert!(!cache.is_cramped(class));
    assert_eq!(cache.stack(class).room(), (1 << 20) / CLASS_SHARE / 64);
    let popped: Vec<_> = core::iter::from_fn(|| cache.stack(class).pop()).collect();
    assert!(popped.iter().eq(blocks.iter().rev()), "{popped:?}");
    assert_eq!(room(&classes, cache), cache.capacity.get());
}

#[test]
fn a_stack_that_never_gets_more_than_few_slots_keeps_them() {
    let (classes, cache) = cache(64 << 10);
    let class = classes.of(Cache::class_share(64 << 10) / FEW);
    widen(&classes, cache, class);
    assert_eq!(cache.stack(class).room(), FEW);
    assert!(!cache.is_cramped(class));
}

#[test]
fn a_trap_stays_where_a_stack_moves() {
    let (classes, cache) = cache(1 << 20);
    let class = classes.of(64);
    (0..FEW).for_each(|_| cache.widen(&classes, class));
    cache.trap(&classes, 5);
    assert!(cache.stack(class).push(NonNull::dangling()));
    assert!(cache.is_cramped(class));
    // SAFETY: cramped, and no other thread knows of it.
    unsafe { cache.spread(&classes, class) };
    assert_eq!(cache.stack(class).pop(), None);
    assert_eq!(cache.spring(&classes), Some(5));
    assert!(cache.stack(class).pop().is_some());
}

#[test]
fn where_the_budget_is_spent_others_give_room() {
    const BUDGET: usize = 64 << 10;
    let (classes, cache) = cache(BUDGET);
    let last = classes.last();
    (1..last).for_each(|class| widen(&classes, cache, class));
    let spent = room(&classes, cache);
    assert!(spent <= BUDGET && spent > BUDGET - classes.size(last), "{spent}");
    let wanting = classes.within(Cache::class_share(BUDGET));
    let others: Vec<usize> = (1..=last).map(|class| cache.stack(class).room()).collect();
    assert_eq!(cache.stack(wanting).room(), 0, "it came too late");

    // One of those that will give room holds all it may.
    let full = cache.stack(1);
    while full.push(NonNull::dangling()) {}
    let mut flushed = Vec::new();
    for _ in 0..100 {
        if cache.stack(wanting).room() > 0 {
            break;
        }
        cache.widen_for_malloc(&classes, wanting, |class, count| {
            let stack = cache.stack(class);
            // SAFETY: the slots below hold what was pushed.
            unsafe { stack.set_len(stack.len() - count) };
            flushed.push((class, count));
        });
    }
    assert!(cache.stack(wanting).room() > 0);
    assert_eq!(flushed, [(1, others[0] - others[0] / 2)]);
    assert_eq!(full.len(), full.room(), "as much as it may hold still");
    let gave = (1..=last).filter(|&class| cache.stack(class).room() < others[class - 1]).count();
    assert!(gave >= 2, "{gave}");
    assert_eq!(room(&classes, cache), cache.capacity.get());
    assert!(cache.capacity.get() <= BUDGET);
}
