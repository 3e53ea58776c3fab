//! What happens in a story.

use std::time::Duration;

use super::SECRETS;

#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    /// Somebody asks for a rotation, or Secrets Manager begins it; the label moves after so long.
    Rotates {
        requested: bool,
        takes: Duration,
    },
    RotationFails,
    ValueIsStored,
    /// One change after the other, with so much time between.
    ValuesAreStored {
        times: u32,
        apart: Duration,
    },
    /// A value with which no task works; the right one comes after so long.
    WrongValueIsStored {
        corrected: Duration,
    },
    LabelIsMovedBack,
    ParameterChanges,
    IsDescribedAnew,
    SweepComes,
    /// These concern the service of this number. CI deploys the revision that there is, a new one,
    /// or one whose tasks never become healthy.
    CiDeploys(usize),
    CiDeploysANewRevision(usize),
    CiDeploysABadRevision(usize),
    IsScaled(usize, i32),
    /// To no task, and back after so long.
    IsStoppedFor(usize, Duration),
    /// One of its tasks: Spot, or the end of its host.
    IsReplaced(usize),
    IsDeleted(usize),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Happening {
    pub(super) after: Duration,
    pub(super) secret: &'static str,
    pub(super) what: What,
}

impl Happening {
    pub(super) fn random(random: &mut fastrand::Rng, services: usize) -> Self {
        let service = random.usize(0..services);
        let takes = Duration::from_millis(random.u64(500..90_000));
        let what = match random.u8(0..32) {
            0..=3 => What::Rotates {
                requested: random.bool(),
                takes,
            },
            4..=8 => What::ValueIsStored,
            9 => {
                let apart = Duration::from_millis(random.u64(800..15_000));
                What::ValuesAreStored {
                    times: random.u32(2..8),
                    apart,
                }
            }
            10..=11 => What::WrongValueIsStored {
                corrected: Duration::from_secs(random.u64(20..200)),
            },
            12..=13 => What::LabelIsMovedBack,
            14 => What::IsDescribedAnew,
            15..=16 => What::CiDeploys(service),
            17..=18 => What::CiDeploysANewRevision(service),
            19..=21 => What::CiDeploysABadRevision(service),
            22 => What::IsScaled(service, random.i32(0..5)),
            23..=24 => What::IsStoppedFor(service, Duration::from_secs(random.u64(10..900))),
            25..=26 => What::IsReplaced(service),
            27 => What::IsDeleted(service),
            28 => What::SweepComes,
            29..=30 => What::ParameterChanges,
            _ => What::RotationFails,
        };
        let longest = if random.bool() { 60_000 } else { 600_000 };
        let after = Duration::from_millis(random.u64(200..longest));
        // Most concern what most services follow.
        let secret = match (random.bool(), what) {
            (true, _) => SECRETS[0],
            // AWSPREVIOUS would be wrong from then on, and some follow that of the second.
            (false, What::WrongValueIsStored { .. }) => {
                random.choice([SECRETS[0], SECRETS[2]]).unwrap()
            }
            (false, _) => random.choice(SECRETS).unwrap(),
        };
        Self {
            after,
            secret,
            what,
        }
    }

    /// A change, and CI's bad revision of a service a moment before or after.
    pub(super) fn change_and_bad_revision(
        random: &mut fastrand::Rng,
        services: usize,
    ) -> [Self; 2] {
        let mut what = [
            What::ValueIsStored,
            What::CiDeploysABadRevision(random.usize(0..services)),
        ];
        random.shuffle(&mut what);
        what.map(|what| {
            let after = Duration::from_millis(random.u64(200..90_000));
            Self {
                after,
                secret: SECRETS[0],
                what,
            }
        })
    }
}
