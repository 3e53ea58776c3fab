//! What is said of one service while it is waited for.

use indicatif::ProgressBar;

use crate::output::{display_name, spinner};

/// The line of a service on the terminal, from when there is something to say.
pub(super) struct Line {
    pub(super) name: String,
    bar: Option<ProgressBar>,
}

impl Line {
    pub(super) fn new(service: &str) -> Self {
        Self {
            name: display_name(service),
            bar: None,
        }
    }

    pub(super) fn say(&mut self, text: &str) {
        let bar = self.bar.get_or_insert_with(|| spinner(""));
        bar.set_message(format!("{}: {text}", self.name));
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.bar.iter().for_each(ProgressBar::finish_and_clear);
    }
}
