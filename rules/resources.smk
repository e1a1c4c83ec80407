"""What a job of each verb needs, by the images it handles. Sites, partitions and GPU types are the business of profiles/."""

from workflow_scripts.lib.cost.estimate import Estimator
from workflow_scripts.lib.cost.numbers import load_numbers
from workflow_scripts.lib.cost.work import Unknown, Worker
from workflow_scripts.lib.jobs import Job
from workflow_scripts.lib.spec.loading import load_document

# verb -> MB of memory, more MB and minutes for 1,000 images of 512 x 512 pixels; both grow with the pixels of an image.
# The minutes are a limit, not an estimate; where plan_cost expects a third of them or more, three times that counts.
GPU_JOBS = {
    "sample_images": (32_000, 0, 12),
    "encode_images": (24_000, 0, 3),
    "score_images": (32_000, 0, 4.5),
    "encode_latents": (24_000, 300, 2.5),
    "train_sft": (48_000, 300, 12),
    "train_dpo": (48_000, 300, 9),
    "train_grpo": (64_000, 0, 9),
    "evaluate_vbench": (48_000, 0, 9),
}
# verb -> MB of memory, minutes, more minutes for 1,000 images as above
CPU_JOBS = {
    "make_prompts": (8_000, 20, 0),
    "import_images": (8_000, 60, 2),
    "train_reward": (16_000, 60, 0),
    "score_rewards": (16_000, 30, 0),
    "select_samples": (8_000, 15, 0),
    "compute_metrics": (16_000, 60, 0),
}
TRAININGS = ("train_sft", "train_dpo", "train_grpo")
# verb -> threads of a GPU job, where more than one: pictures are decoded and encoded on the CPU (10 to 100 ms each) while
# the GPU works; OCR reads on the CPU, 1/3 s an image, while the GPU waits
THREADS = {"sample_images": 4, "encode_images": 8, "score_images": 8, "encode_latents": 4, "train_grpo": 8}
THREADS |= {"train_sft": 2, "train_dpo": 2}  # for the process and for what moves gradients between GPUs
TINY = (1_500, 15)
# MB for 1,000 examples of SD3: 205 x 4,096 numbers of 16 bits and the latents, twice while they are written
MEMORY_OF_LONG_PROMPTS = 4_000
LEAST_MINUTES = 15  # to start, load a model and write
SLACK = 3  # of a limit over an estimate
ESTIMATOR = Estimator(Worker(CONFIG, load_numbers("config", "h100")), {})
TORCHRUN = "python -m torch.distributed.run"
# srun does not take the CPUs of a task from the job; torchrun needs no MPI, and binds nothing to one CPU
SRUN = (
    "srun --mpi=none --cpu-bind=none --kill-on-bad-exit=1 --nodes={nodes} --ntasks={nodes} --ntasks-per-node=1 "
    "--cpus-per-task={threads}"
)
# the job's first node, where this is read, and a port that other jobs there do not have
MEETING_POINT = (
    "--rdzv-backend c10d --rdzv-id $SLURM_JOB_ID --rdzv-endpoint $(hostname):$((20000 + SLURM_JOB_ID % 12000))"
)
ELSEWHERE = workflow.resource_settings.nodes is not None  # whether jobs run on a cluster
# what the partitions of the site have room for
PARTITIONS = load_document(Path("profiles/slurm/partitions.yaml")).data["partitions"].values() if ELSEWHERE else []

if workflow.is_main_process and ELSEWHERE:
    # jobs run elsewhere: `cores` of profiles/default, those of this machine, would cut their threads
    workflow.global_resources["_cores"] = None


def images_of_part(wildcards):
    """Images, or frames, of the part that a job draws or reads."""
    scale, kind, *names = wildcards.scale, *getattr(wildcards, "collection", "samples").split("/")
    if kind == "images":
        role, sizes = names[0].rsplit(".", 1)
        return CONFIG.scale(scale).images[role] * frames_of(sizes)
    policy, prompt_set = names or (wildcards.policy, wildcards.prompt_set)
    prompts = min(prompts_per_part(scale, policy, prompt_set), CONFIG.scale(scale).prompts[prompt_set])
    return prompts * CONFIG.samples_per_prompt(policy, prompt_set, scale) * frames_per_sample(scale, policy)


def frames_of(sizes):
    """`16x320x512` -> 16, `512x512` -> 1."""
    return int(sizes.split("x")[0]) if sizes.count("x") == 2 else 1


def images_imported(wildcards):
    """Images, or frames, of a data set that are brought into shards, in units of 512 x 512 pixels."""
    height, width = map(int, wildcards.shape.split("x")[-2:])
    images = CONFIG.scale(wildcards.scale).images[wildcards.dataset] * frames_of(wildcards.shape)
    return images * max(1, height * width // 512**2)


def images_encoded(wildcards):
    """Images, or frames, whose latents a job makes: of a data role, or the best and the worst of each pair."""
    scale = CONFIG.scale(wildcards.scale)
    if "dataset" in wildcards.keys():
        return examples_given(scale, wildcards.dataset)
    pairs = scale.prompts[wildcards.prompt_set] * int(wildcards.pairs)
    return 2 * pairs * frames_per_sample(wildcards.scale, wildcards.policy)


def examples_given(scale, role):
    """Images of a data role that are trained on: all, or the first of the references of each prompt."""
    return scale.prompts[scale.references[role].prompts] if role in scale.references else scale.images[role]


def images_trained_on(wildcards):
    """Images, or frames, that all steps of a round pass through the model."""
    run = run_of(wildcards)
    scale, training, per_example = CONFIG.scale(wildcards.scale), run["training"], 1 + (run["objective"] == "dpo")
    given = run["data"] in scale.images
    examples = examples_given(scale, run["data"]) if given else scale.prompts[run["prompts"]] * run["pairs"]
    batch = training["batch_size"] * training["gradient_accumulation_steps"]
    seen = training["max_steps"] * batch if training["max_steps"] else training["epochs"] * examples
    return seen * per_example * frames_per_sample(wildcards.scale, wildcards.policy)


def images_rolled_out(wildcards):
    """Images of all rollouts of a run; with a trigger, as many discriminator epochs as generator epochs are foreseen."""
    run, learner = run_of(wildcards), discriminator_of(wildcards)
    own = 0 if not learner or learner["replay"] else learner["steps_per_generator_epoch"] or 1
    return (1 + own) * run["grpo"]["generator_epochs"] * run["grpo"]["groups_per_epoch"] * run["grpo"]["group_size"]


def images_of_vbench(wildcards):
    """Frames of all clips that VBench's package is given."""
    about = vbench_metric(wildcards)
    clips = (
        CONFIG.scale(wildcards.scale).prompts[prompts]
        * CONFIG.samples_per_prompt(wildcards.policy, prompts, wildcards.scale)
        for prompts in (about["prompts"], about["flickering"])
    )
    return sum(clips) * frames_per_sample(wildcards.scale, wildcards.policy)


def images_of_job(verb, wildcards):
    """Images, or frames, that a job of this verb handles; imported ones in units of 512 x 512 pixels."""
    counts = {
        "import_images": images_imported,
        "encode_latents": images_encoded,
        "train_sft": images_trained_on,
        "train_dpo": images_trained_on,
        "train_grpo": images_rolled_out,
        "evaluate_vbench": images_of_vbench,
    }
    return counts.get(verb, images_of_part)(wildcards)


def images_of_rule(rule, wildcards):
    """Images, or frames, of a job of this rule; 0 where its cost does not depend on them."""
    verb = {"encode_given_images": "encode_latents"}.get(rule, rule)
    counts = verb in GPU_JOBS or CPU_JOBS.get(verb, (0, 0, 0))[2]
    return images_of_job(verb, wildcards) if counts else 0


def units_of_job(verb, wildcards):
    """Images of a job in units of 512 x 512 pixels, where a generator makes them."""
    return images_of_job(verb, wildcards) * size_factor(verb, wildcards)


def size_factor(verb, wildcards):
    """How many times 512 x 512 pixels the images of a job's generator have, at least 1."""
    if verb in ("encode_images", "score_images", "import_images"):  # scorers resize what they read
        return 1
    sampling = CONFIG.sampling(wildcards.policy, wildcards.scale)
    return max(1, sampling["height"] * sampling["width"] // 512**2)


def memory_of(verb, wildcards):
    """MB of memory of a job."""
    if wildcards.scale == "tiny/":
        return TINY[0]
    if verb in CPU_JOBS:
        return CPU_JOBS[verb][0]
    memory, more, _ = GPU_JOBS[verb]
    if more and "max_sequence_length" in CONFIG.sampling(wildcards.policy, wildcards.scale):
        more = MEMORY_OF_LONG_PROMPTS
    growing = more and round(more * units_of_job(verb, wildcards) / 1000)
    return max(memory + growing, memory_of_weights(wildcards))


def minutes_of(verb, wildcards):
    """Minutes that a job may take."""
    if wildcards.scale == "tiny/":
        return TINY[1]
    if verb in CPU_JOBS:
        _, minutes, more = CPU_JOBS[verb]
        return minutes + (more and ceil(more * units_of_job(verb, wildcards) / 1000))
    stated = GPU_JOBS[verb][2] * units_of_job(verb, wildcards) / 1000
    return max(LEAST_MINUTES, ceil(stated), ceil(SLACK * estimated_minutes(verb, wildcards)))


def memory_of_weights(wildcards):
    """MB to bring a generator's weights to the GPU."""
    if "policy" not in wildcards.keys():
        return 0
    entry = CONFIG.model(CONFIG.base_model(wildcards.policy, wildcards.scale), wildcards.scale)
    return ceil(1300 * (entry.get("size_gb") or 0))


def estimated_minutes(verb, wildcards):
    """What an H100 takes by FLOPs at a stated rate, as plan_cost has it; 0 for a model whose FLOPs were never counted."""
    images, threads = images_of_job(verb, wildcards), THREADS.get(verb, 1)
    job = Job(verb, dict(wildcards.items()), [], [], [], None, images, threads, {"gpu": 1}, needed=True)
    try:
        return ESTIMATOR.gpu_seconds(job, ESTIMATOR.worker.work(job)) / 60
    except Unknown:
        return 0


def processes_of(verb, wildcards):
    """Processes of a job on each of its nodes, each with a GPU of its own."""
    return CONFIG.scale(wildcards.scale).counts.get("training_processes", 1) if verb in TRAININGS else 1


def nodes_of(verb, scale):
    """Nodes of a job."""
    return CONFIG.scale(scale).counts.get("training_nodes", 1) if verb in TRAININGS else 1


def launcher(wildcards, threads):
    """How a training is started. A resource, not a param: as many processes as one likes train the same policy."""
    processes, nodes = processes_of("train_grpo", wildcards), nodes_of("train_grpo", wildcards.scale)
    if nodes > 1:
        start = f"{SRUN.format(nodes=nodes, threads=threads)} {TORCHRUN}"
        return f"{start} --nproc-per-node {processes} --nnodes {nodes} {MEETING_POINT} -m"
    return f"{TORCHRUN} --standalone --nproc-per-node {processes} -m" if processes > 1 else "python -m"


def threads_of(verb):
    """Threads of a job of this verb: several where the scale has GPUs, whose machines have CPUs to spare."""

    def threads(wildcards):
        return processes_of(verb, wildcards) * THREADS[verb] if CONFIG.scale(wildcards.scale).device == "cuda" else 1

    return threads


def resources_of(verb):
    """Memory (of a node) and time of a job of this verb, growing with each attempt; GPUs where the scale has them.

    Neither grows beyond the partitions of a cluster: a training that needs longer continues from its state. Memory
    that fits nowhere is asked for all the same, and refused. A training on several nodes starts its own tasks by srun,
    one on each node.
    """

    def mem_mb(wildcards, attempt):
        needed = memory_of(verb, wildcards) * processes_of(verb, wildcards)
        return min(needed * attempt, max(needed, most("max_mem_mb", gpu(wildcards) > 0)))

    def runtime(wildcards, attempt):
        at_once = processes_of(verb, wildcards) * nodes_of(verb, wildcards.scale)
        wanted = max(LEAST_MINUTES, ceil(minutes_of(verb, wildcards) / at_once)) * attempt
        return min(wanted, most("max_runtime", gpu(wildcards) > 0))

    def gpu(wildcards):
        on_gpu = verb in GPU_JOBS and CONFIG.scale(wildcards.scale).device == "cuda"
        return processes_of(verb, wildcards) * nodes_of(verb, wildcards.scale) * on_gpu

    def gpu_model(wildcards):
        return CONFIG.settings["gpu_model"] if gpu(wildcards) else ""

    asked = {"mem_mb": mem_mb, "runtime": runtime, "gpu": gpu}
    if "gpu_model" in CONFIG.settings:  # each function here is called for each job
        asked["gpu_model"] = gpu_model
    nodes = nodes_asked_for(verb) if nodes_of(verb, SCALE) > 1 else {"nodes": 1}  # unsaid, GPUs of two may be given
    return asked | nodes


@cache
def most(limit, on_gpu):
    """The largest of a limit among the site's partitions with GPUs, or those without; no limit where none is stated."""
    fitting = [one.get(limit, float("inf")) for one in PARTITIONS if bool(one.get("max_gpu")) == on_gpu]
    return max(fitting, default=float("inf"))


def nodes_asked_for(verb):
    """What a training on several nodes asks SLURM for: a task on each, and GPUs in equal numbers.

    `gpu` alone may be given as three GPUs here and one there. SLURM wants both numbers with a model or both without
    one. `tasks_per_gpu` 0 is left out of the call; unset it would be `tasks`, far too many.
    """

    def slurm_extra(wildcards):
        on_gpu = CONFIG.scale(wildcards.scale).device == "cuda"
        return f"--gpus-per-node={processes_of(verb, wildcards)}" if on_gpu else ""

    nodes = nodes_of(verb, SCALE)
    return {
        "mpi": "srun",
        "nodes": nodes,
        "tasks": nodes,
        "tasks_per_gpu": 0,
        "gpu_model": "",
        "slurm_extra": slurm_extra,
    }
