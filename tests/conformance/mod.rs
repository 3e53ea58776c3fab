//! The conformance table: what every sequence of events must come to, whatever plays it.
//!
//! One service, unless said, names `prod/db` by ARN and JSON key. The simulated AWS plays every row in every way of
//! delivery (`tests/it/conformance.rs`); an emulator plays those that it can (`tests/emulator/conformance.rs`).

/// One row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// Its number in the table, with a letter where the table has several cases in one row.
    pub(crate) id: &'static str,
    pub(crate) says: &'static str,
    pub(crate) services: usize,
    /// What happens, each after so many seconds.
    pub(crate) story: &'static [(u64, Step)],
    /// How often each service is redeployed in all.
    pub(crate) redeploys: usize,
    /// What the last report says of each service, as action and reason, where that matters.
    pub(crate) ends: Option<(&'static str, &'static str)>,
    /// Whether an emulator can play it.
    pub(crate) on_emulator: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Somebody calls `RotateSecret`.
    RequestRotation,
    /// Secrets Manager begins a rotation by its schedule.
    BeginRotation,
    /// The rotation function stores the next value.
    StorePending,
    /// The label moves, and the rotation has succeeded.
    FinishRotation,
    FailRotation,
    /// Somebody stores a value by hand.
    PutValue,
    /// The same, of another secret.
    PutValueOfAnother,
    /// Somebody moves AWSCURRENT back to the version before.
    MoveBack,
    /// Somebody changes the description.
    Describe,
    ScaleToZero,
    ScaleBack,
    /// Spot takes both tasks, one after the other.
    ReplaceTasks,
    /// CI deploys.
    Deploy,
    /// All events so far but `RotateSecret` are lost.
    LoseAllButRotateSecret,
    /// All events so far are lost.
    LoseEvents,
    /// The schedule asks for a sweep.
    Sweep,
    /// ECS rolls the newest deployment back.
    RollBack,
    /// The next calls of `UpdateService` are throttled.
    Throttle(usize),
    /// The next calls of `UpdateService` fail on the server's side, without effect.
    Fail(usize),
    /// The next `UpdateService` takes effect, and its answer is lost.
    LoseAnswer,
    /// The function is killed after so many calls of `UpdateService`.
    Kill(usize),
}

use Step::{
    BeginRotation, Deploy, Describe, Fail, FailRotation, FinishRotation, Kill,
    LoseAllButRotateSecret, LoseAnswer, LoseEvents, MoveBack, PutValue, PutValueOfAnother,
    ReplaceTasks, RequestRotation, RollBack, ScaleBack, ScaleToZero, StorePending, Sweep, Throttle,
};

const ROTATION: &[(u64, Step)] = &[
    (600, RequestRotation),
    (1, StorePending),
    (20, FinishRotation),
];
const BY_HAND: &[(u64, Step)] = &[(600, PutValue)];

const fn row(
    id: &'static str,
    says: &'static str,
    story: &'static [(u64, Step)],
    redeploys: usize,
) -> Row {
    Row {
        id,
        says,
        services: 1,
        story,
        redeploys,
        ends: None,
        on_emulator: true,
    }
}

/// A row that only the simulated AWS can play.
const fn simulated(
    id: &'static str,
    says: &'static str,
    story: &'static [(u64, Step)],
    redeploys: usize,
) -> Row {
    Row {
        on_emulator: false,
        ..row(id, says, story, redeploys)
    }
}

/// The table. S2, every event twice, is every row delivered twice; S16 is a row for its size alone.
pub(crate) const ROWS: &[Row] = &[
    row("S1a", "a rotation that was asked for", ROTATION, 1),
    row(
        "S1b",
        "a rotation by schedule",
        &[
            (600, BeginRotation),
            (1, StorePending),
            (20, FinishRotation),
        ],
        1,
    ),
    row("S3", "the value changed by hand", BY_HAND, 1),
    row(
        "S4",
        "another secret changes",
        &[(600, PutValueOfAnother)],
        0,
    ),
    row(
        "S5",
        "the rotation fails",
        &[
            (600, RequestRotation),
            (1, StorePending),
            (20, FailRotation),
        ],
        0,
    ),
    simulated(
        "S6a",
        "UpdateService is throttled",
        &[(600, Throttle(3)), (0, PutValue)],
        1,
    ),
    simulated(
        "S6b",
        "UpdateService is throttled for longer than an attempt lasts",
        &[(600, Throttle(20)), (0, PutValue)],
        1,
    ),
    simulated(
        "S6c",
        "UpdateService fails once",
        &[(600, Fail(1)), (0, PutValue)],
        1,
    ),
    simulated(
        "S6d",
        "UpdateService fails for longer than an attempt lasts",
        &[(600, Fail(9)), (0, PutValue)],
        1,
    ),
    row(
        "S7a",
        "every event lost, then sweeps",
        &[(600, PutValue), (0, LoseEvents), (300, Sweep), (600, Sweep)],
        1,
    ),
    row(
        "S7b",
        "every event of a rotation lost, then sweeps, and a new description between them",
        &[
            (600, BeginRotation),
            (1, StorePending),
            (20, FinishRotation),
            (0, LoseEvents),
            (300, Sweep),
            (60, Describe),
            (300, Sweep),
            (600, Sweep),
        ],
        1,
    ),
    // Only CloudTrail's event history can tell this, which the emulators do not have.
    simulated(
        "S7c",
        "a label moved back by hand of which every event is lost, then a sweep",
        &[
            (600, PutValue),
            (0, LoseEvents),
            (300, Sweep),
            (600, MoveBack),
            (0, LoseEvents),
            (300, Sweep),
            (600, Sweep),
        ],
        2,
    ),
    row(
        "S8",
        "CI deployed after the label moved, before the event arrived",
        &[(600, PutValue), (3, Deploy)],
        0,
    ),
    row(
        "S9",
        "scaled to zero",
        &[(300, ScaleToZero), (300, PutValue)],
        0,
    ),
    Row {
        ends: Some(("blocked", "rolled-back")),
        ..simulated(
            "S10",
            "the new deployment is rolled back, then five sweeps",
            &[
                (600, PutValue),
                (130, RollBack),
                (60, Sweep),
                (60, Sweep),
                (60, Sweep),
                (60, Sweep),
                (60, Sweep),
            ],
            1,
        )
    },
    simulated(
        "S10b",
        "the same, then a later change",
        &[
            (600, PutValue),
            (130, RollBack),
            (60, Sweep),
            (60, PutValue),
        ],
        2,
    ),
    row("S11", "a new description", &[(600, Describe)], 0),
    row(
        "S12",
        "rotated to v2, to v3, then the label moved back to v2 by hand",
        &[
            (600, RequestRotation),
            (1, StorePending),
            (20, FinishRotation),
            (600, RequestRotation),
            (1, StorePending),
            (20, FinishRotation),
            (600, MoveBack),
        ],
        3,
    ),
    row(
        "S13",
        "only RotateSecret arrives; the rotation takes 40 s",
        &[
            (600, RequestRotation),
            (1, StorePending),
            (39, FinishRotation),
            (0, LoseAllButRotateSecret),
        ],
        1,
    ),
    Row {
        services: 5,
        ..simulated(
            "S14",
            "the function is killed after 2 of 5 services",
            &[(600, Kill(2)), (0, PutValue)],
            1,
        )
    },
    simulated(
        "S15",
        "the answer to UpdateService is lost",
        &[(600, LoseAnswer), (0, PutValue)],
        1,
    ),
    Row {
        services: 120,
        ..simulated(
            "S16",
            "more services than UpdateService's burst",
            BY_HAND,
            1,
        )
    },
];

/// The rows whose tasks are younger than their deployment (S23): they have read the present value.
pub(crate) const ROWS_OF_TASKS: &[Row] = &[
    Row {
        ends: Some(("skipped", "already-fresh")),
        ..simulated(
            "S23a",
            "scaled to zero, and back after the change",
            &[
                (300, ScaleToZero),
                (300, PutValue),
                (90, ScaleBack),
                (120, Sweep),
                (600, Sweep),
            ],
            0,
        )
    },
    Row {
        ends: Some(("skipped", "already-fresh")),
        ..simulated(
            "S23b",
            "every event lost, the tasks replaced by Spot, then sweeps",
            &[
                (600, PutValue),
                (0, LoseEvents),
                (90, ReplaceTasks),
                (120, Sweep),
                (600, Sweep),
            ],
            0,
        )
    },
];
