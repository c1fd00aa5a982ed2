//! The only file that names a backend or a device.

use std::num::NonZeroUsize;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, bail};
use burn::backend::Autodiff;

#[cfg(any(
    feature = "flex",
    feature = "ndarray",
    feature = "wgpu",
    feature = "cuda"
))]
use crate::ops::Ops;
use crate::ops::{DEFAULT_LOGITS_CHUNK, TrainBackend};

/// Backends by the name that `BACKEND=` and `--backend` take, and whether this build has them.
pub const BACKENDS: [(&str, bool); 4] = [
    ("flex", cfg!(feature = "flex")),
    ("ndarray", cfg!(feature = "ndarray")),
    ("wgpu", cfg!(feature = "wgpu")),
    ("cuda", cfg!(feature = "cuda")),
];

// Backends without kernels of their own.
#[cfg(feature = "ndarray")]
impl Ops for burn_ndarray::NdArray {}
#[cfg(feature = "wgpu")]
impl Ops for burn::backend::Wgpu {}
#[cfg(feature = "cuda")]
impl Ops for burn::backend::Cuda {}

/// Makes the C allocator keep what tensors free, for the next tensors.
///
/// glibc gives each large block back to the kernel at once, so every step paid for its pages anew:
/// half the time of a small model's training step.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: these only change thresholds of the allocator.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, i32::MAX);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
    }
}

/// Work that is generic over the backend it runs on.
pub trait Work {
    type Output;

    /// Does the work on one backend's device.
    fn run<B: TrainBackend>(self, device: &B::Device) -> Self::Output;
}

/// Whether training computes in bf16 on this backend unless the recipe says otherwise: where matrix
/// units make it several times faster.
pub fn prefers_bf16(name: &str) -> bool {
    name == "cuda"
}

/// Logits that the backend of that name computes at a time in training; of one that this build lacks, what a backend
/// without kernels of its own does.
pub fn logits_chunk(name: &str) -> usize {
    match name {
        #[cfg(feature = "flex")]
        "flex" => <burn_flex::Flex as Ops>::LOGITS_CHUNK,
        _ => DEFAULT_LOGITS_CHUNK,
    }
}

/// The backend used where none is named: the first that this build has.
pub fn default_backend() -> &'static str {
    BACKENDS
        .iter()
        .find(|(_, built)| *built)
        .map_or("flex", |(name, _)| name)
}

/// That backend's type, for tests and measurements that are written for one.
#[cfg(feature = "flex")]
pub type DefaultBackend = burn_flex::Flex;
#[cfg(all(not(feature = "flex"), feature = "ndarray"))]
pub type DefaultBackend = burn_ndarray::NdArray;
#[cfg(all(not(any(feature = "flex", feature = "ndarray")), feature = "wgpu"))]
pub type DefaultBackend = burn::backend::Wgpu;
#[cfg(all(
    not(any(feature = "flex", feature = "ndarray", feature = "wgpu")),
    feature = "cuda"
))]
pub type DefaultBackend = burn::backend::Cuda;

/// How many stages run side by side unless the user says otherwise: as many as there are threads on a CPU, where
/// small models gain nothing from a second one; one on a GPU, which they would share.
pub fn default_jobs(name: &str) -> NonZeroUsize {
    let threads = match name {
        "flex" | "ndarray" => rayon::current_num_threads(),
        _ => 1,
    };
    NonZeroUsize::new(threads).unwrap_or(NonZeroUsize::MIN)
}

/// Checks that this build can run on `name`.
///
/// # Errors
///
/// An unknown backend, or one whose cargo feature is off, with the command that turns it on.
pub fn check(name: &str) -> Result<()> {
    match BACKENDS.iter().find(|(known, _)| *known == name) {
        Some((_, true)) => Ok(()),
        Some((_, false)) => bail!(
            "this build has no {name} backend: rebuild with `cargo build --no-default-features \
             --features {name}`, or use `make ... BACKEND={name}`, which does"
        ),
        None => bail!("unknown backend {name:?}; expected one of flex, ndarray, wgpu, cuda"),
    }
}

/// Runs `work` on the backend called `name`.
///
/// # Errors
///
/// See [`check`]; and a device that cannot be opened.
pub fn dispatch<W: Work>(name: &str, work: W) -> Result<W::Output> {
    check(name)?;
    match name {
        #[cfg(feature = "flex")]
        "flex" => Ok(work.run::<Autodiff<burn_flex::Flex>>(&Default::default())),
        #[cfg(feature = "ndarray")]
        "ndarray" => Ok(work.run::<Autodiff<burn_ndarray::NdArray>>(&Default::default())),
        #[cfg(feature = "wgpu")]
        "wgpu" => {
            let device = Default::default();
            open::<burn::backend::Wgpu>(name, &device)?;
            Ok(work.run::<Autodiff<burn::backend::Wgpu>>(&device))
        }
        #[cfg(feature = "cuda")]
        "cuda" => {
            let device = Default::default();
            open::<burn::backend::Cuda>(name, &device)?;
            Ok(work.run::<Autodiff<burn::backend::Cuda>>(&device))
        }
        _ => unreachable!("checked before"),
    }
}

/// Runs one operation on the device, so that a missing driver is an error here and not a panic later.
#[cfg(any(feature = "wgpu", feature = "cuda"))]
fn open<B: burn::tensor::backend::Backend>(name: &str, device: &B::Device) -> Result<()> {
    // The hook is the process's, so stages that start side by side take turns.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let opened = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let one = burn::tensor::Tensor::<B, 1>::ones([1], device);
        one.into_data().iter::<f32>().next() == Some(1.0)
    }));
    std::panic::set_hook(hook);
    match opened {
        Ok(true) => Ok(()),
        _ => bail!(
            "no {name} device can be opened: install its driver (cuda: the NVIDIA driver and CUDA's \
             NVRTC library; wgpu: a Vulkan driver, such as Debian's mesa-vulkan-drivers), or run \
             with --backend flex"
        ),
    }
}

/// Opens the device of the backend called `name`.
///
/// # Errors
/// See [`dispatch`].
pub fn probe(name: &str) -> Result<()> {
    struct Nothing;
    impl Work for Nothing {
        type Output = ();
        fn run<B: TrainBackend>(self, _device: &B::Device) {}
    }
    dispatch(name, Nothing)
}
