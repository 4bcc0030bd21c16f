//! What is to be done to the files of the node, decided before any of it is.

use super::entry::{self, Entry};
use super::fault::Fault;
use super::root::Root;

/// See the module's head.
#[derive(Debug)]
pub struct Plan {
    pub(super) steps: Vec<Step>,
    /// Sentences about how it is once the steps have been taken.
    pub done: Vec<String>,
    /// What the user has to see to.
    pub warnings: Vec<String>,
    /// Whether everything is as it was asked for, then.
    pub is_whole: bool,
}

/// A change of one file, which is made or not: there is nothing in between.
#[derive(Debug)]
pub(super) enum Step {
    Put(&'static str, Entry),
    Remove(&'static str),
}

impl Plan {
    /// Takes the steps.
    ///
    /// # Errors
    /// The first that cannot be taken ends it.
    pub fn carry_out(&self, root: &Root) -> Result<(), Fault> {
        self.begin(root, self.steps.len())
    }

    /// Takes this many steps, as if it had been killed then.
    ///
    /// # Errors
    /// As [`Self::carry_out`].
    pub fn begin(&self, root: &Root, steps: usize) -> Result<(), Fault> {
        self.steps.iter().take(steps).try_for_each(|step| step.take(root))
    }

    /// How many steps there are.
    pub fn length(&self) -> usize {
        self.steps.len()
    }
}

impl Step {
    pub(super) fn take(&self, root: &Root) -> Result<(), Fault> {
        let (what, path, done) = match self {
            Self::Put(path, entry) => ("written", path, entry.put(&root.at(path))),
            Self::Remove(path) => ("removed", path, entry::remove(&root.at(path))),
        };
        done.map_err(|error| Fault::File { what, path: (*path).to_owned(), error })
    }
}

/// What is there, if something is.
pub(super) fn look(root: &Root, path: &str) -> Result<Option<Entry>, Fault> {
    Entry::read(&root.at(path)).map_err(|error| Fault::File { what: "read", path: path.to_owned(), error })
}
