//! What brkpoint runs.
