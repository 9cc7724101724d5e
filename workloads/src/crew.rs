//! A subject whose requests are made by several real threads, one at a time:
//! blocks are then freed and resized by other threads than allocated them, and
//! outlive their threads.

use std::alloc::Layout;
use std::ptr::NonNull;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::op::Event;
use crate::shadow::{Complaint, Model, Subject};

/// What a thread is to do; it ends when the outer one is `None`.
type Job = Option<Task>;

/// A call on behalf of the thread that waits for it.
struct Task(*mut (dyn FnMut() + Send));

// SAFETY: the task is `Send`, and whoever posts it waits until it is done.
unsafe impl Send for Task {}

#[derive(Default)]
struct Desk {
    /// What is to be done; taken when it is done.
    job: Mutex<Option<Job>>,
    changed: Condvar,
}

impl Desk {
    fn work(&self) {
        let mut job = self.job.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match job.as_mut() {
                None => job = self.changed.wait(job).unwrap_or_else(PoisonError::into_inner),
                Some(None) => break,
                Some(Some(task)) => {
                    // SAFETY: whoever posted it waits, so it is there.
                    unsafe { (*task.0)() };
                    *job = None;
                    self.changed.notify_all();
                }
            }
        }
    }

    fn post(&self, job: Job) {
        let mut place = self.job.lock().unwrap_or_else(PoisonError::into_inner);
        *place = Some(job);
        self.changed.notify_all();
    }

    fn wait_until_done(&self) {
        let mut job = self.job.lock().unwrap_or_else(PoisonError::into_inner);
        while job.is_some() {
            job = self.changed.wait(job).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

struct Worker {
    desk: Arc<Desk>,
    thread: JoinHandle<()>,
}

/// A subject, and threads that make requests of it when an [`Event::Thread`]
/// says so. Thread 0 is the one that has the crew.
pub struct Crew<S> {
    subject: S,
    workers: Vec<Option<Worker>>,
    current: usize,
}

impl<S: Subject + Send> Crew<S> {
    /// A crew without any thread yet, for up to `threads` of them.
    pub fn new(subject: S, threads: u32) -> Crew<S> {
        let workers = (0..threads).map(|_| None).collect();
        Crew { subject, workers, current: 0 }
    }

    /// Has the current thread do something with the subject, and waits for it.
    fn on<R: Send>(&mut self, call: impl FnOnce(&mut S) -> R + Send) -> R {
        let subject = &mut self.subject;
        let Some(Some(worker)) = self.workers.get(self.current) else {
            return call(subject);
        };
        let (mut call, mut result) = (Some(call), None);
        {
            let mut task = || result = call.take().map(|call| call(subject));
            let task: *mut (dyn FnMut() + Send + '_) = &mut task;
            // SAFETY: only the lifetime changes; the task is waited for before
            // what it borrows goes.
            let task: *mut (dyn FnMut() + Send) = unsafe { std::mem::transmute(task) };
            worker.desk.post(Some(Task(task)));
            worker.desk.wait_until_done();
        }
        result.expect("the worker has done it")
    }

    fn begin(&mut self, thread: usize) {
        if thread == 0 || self.workers[thread].is_some() {
            return;
        }
        let desk = Arc::new(Desk::default());
        let own = Arc::clone(&desk);
        // Without a thread, the caller makes the requests: less is tried, but
        // nothing wrong.
        let thread_of = std::thread::Builder::new().spawn(move || own.work());
        self.workers[thread] = thread_of.ok().map(|thread| Worker { desk, thread });
    }

    fn end(&mut self, thread: usize) {
        if let Some(worker) = self.workers[thread].take() {
            worker.desk.post(None);
            // A panic of the allocator ended it; then it has been seen.
            let _ = worker.thread.join();
        }
    }
}

impl<S> Drop for Crew<S> {
    fn drop(&mut self) {
        for worker in self.workers.drain(..).flatten() {
            worker.desk.post(None);
            let _ = worker.thread.join();
        }
    }
}

impl<S: Subject + Send> Subject for Crew<S> {
    fn allocate(&mut self, layout: Layout, zeroed: bool) -> Option<NonNull<u8>> {
        self.on(|subject| Sent(subject.allocate(layout, zeroed))).0
    }

    fn allocate_beyond(&mut self, size: usize, align: usize, zeroed: bool) -> Option<NonNull<u8>> {
        self.on(|subject| Sent(subject.allocate_beyond(size, align, zeroed))).0
    }

    fn allocate_array(&mut self, count: usize, size: usize) -> Option<NonNull<u8>> {
        self.on(|subject| Sent(subject.allocate_array(count, size))).0
    }

    unsafe fn free(&mut self, block: NonNull<u8>, layout: Layout) {
        let block = Sent(block);
        self.on(move |subject| {
            let Sent(block) = { block };
            // SAFETY: by contract.
            unsafe { subject.free(block, layout) };
        });
    }

    unsafe fn reallocate(
        &mut self,
        block: NonNull<u8>,
        layout: Layout,
        size: usize,
    ) -> Option<NonNull<u8>> {
        let block = Sent(block);
        self.on(move |subject| {
            let Sent(block) = { block };
            // SAFETY: by contract.
            Sent(unsafe { subject.reallocate(block, layout, size) })
        })
        .0
    }

    unsafe fn usable_size(&mut self, block: NonNull<u8>, layout: Layout) -> usize {
        let block = Sent(block);
        self.on(move |subject| {
            let Sent(block) = { block };
            // SAFETY: by contract.
            unsafe { subject.usable_size(block, layout) }
        })
    }

    fn alignment(&self, layout: Layout, resized: bool) -> usize {
        self.subject.alignment(layout, resized)
    }

    fn event(&mut self, event: Event) -> Result<(), Complaint> {
        let most = self.workers.len().max(1);
        match event {
            Event::Thread { thread } => {
                self.current = thread as usize % most;
                self.begin(self.current);
                Ok(())
            }
            Event::End { thread } => {
                let thread = thread as usize % most;
                if thread != self.current && thread != 0 {
                    self.end(thread);
                }
                Ok(())
            }
            event => self.on(|subject| subject.event(event)),
        }
    }

    /// By the thread that has the crew, since the child has no other.
    fn fork(&mut self) -> Option<libc::pid_t> {
        let forked = self.subject.fork();
        if forked == Some(0) {
            self.current = 0;
            // They do not exist here, so nobody can wait for them.
            self.workers.drain(..).for_each(std::mem::forget);
        }
        forked
    }

    fn inspect(&mut self, model: &Model, thorough: bool) -> Result<(), Complaint> {
        self.on(|subject| subject.inspect(model, thorough))
    }

    fn footprint(&mut self) -> Option<usize> {
        self.subject.footprint()
    }
}

/// A block on its way between a crew's threads.
struct Sent<T>(T);

// SAFETY: only blocks are sent, which are not tied to a thread.
unsafe impl<T> Send for Sent<T> {}
