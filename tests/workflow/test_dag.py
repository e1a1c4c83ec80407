"""What snakemake would do: the right jobs in the right number, at every scale, before anything is downloaded."""

from __future__ import annotations

import json
import re

import pytest

from tests.workflow.study import REPOSITORY, TARGETS, TINY, Study, assumed, jobs_of, make_study
from workflow_scripts.lib.cost.estimate import costs_of
from workflow_scripts.lib.cost.numbers import load_numbers
from workflow_scripts.lib.jobs import Job
from workflow_scripts.lib.spec import Diagram, ImageGrid, RankFigure, load_config
from workflow_scripts.lib.spec.loading import load_document

PAPER_TABLE = "results/tables/ganrm_tab1.csv"
TRAIN_PROMPTS, SAMPLES, ROUNDS, PROXIES, EVAL_PROMPTS = 20_000, 10, 3, 500, 1000  # arXiv 2506.13846, Sec. 4.1, Tab. 9
IMAGES_PER_JOB = 10_000
MOST_JOBS = 3000  # of all tables and figures of both papers
SCORERS, DISTANCES = 4, 2
BASES = 2  # SD1.5 and SDXL
RULES = [path for path in (REPOSITORY / "Snakefile", *sorted((REPOSITORY / "rules").glob("*.smk")))]
ON_A_CLUSTER = ("--profile", "profiles/slurm", "--software-deployment-method", "env-modules")
DOWNLOADS = ("fetch_model", "fetch_data")  # what was fetched stays, whatever the code
POOL_PARTS = TRAIN_PROMPTS * SAMPLES // IMAGES_PER_JOB


@pytest.fixture(scope="module")
def planned(tmp_path_factory) -> Study:
    """A study as it is checked out, without any weights: nothing in it can run."""
    return make_study(tmp_path_factory.mktemp("planned") / "study", resources=False, reduced=False)


@pytest.fixture(scope="module")
def planned_on_nodes(tmp_path_factory) -> Study:
    """The same, whose trainings take four processes on each of two nodes."""
    study = make_study(tmp_path_factory.mktemp("on_nodes") / "study", resources=False, reduced=False)
    study.edit("config/scales/paper.yaml", lambda scale: scale["counts"].update(training_processes=4, training_nodes=2))
    return study


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("ganrm_tab1", {"make_table": 1, "make_sheet": None, "train_sft": 2, "train_dpo": 8, "compute_metrics": 12}),
        ("ganrm_tab2", {"make_table": 1, "train_reward": 2, "train_dpo": 2, "compute_metrics": 12}),
        ("ganrm_tab3", {"make_table": 1, "sample_images": 5, "train_reward": 1, "train_dpo": 1, "compute_metrics": 2}),
        ("ganrm_fig9", {"make_sheet": 1, "animate_sheet": 1, "train_dpo": 1, "compute_metrics": None}),
        ("ganrm_fig4", {"make_sheet": 1, "train_reward": 1, "train_dpo": 1, "compute_metrics": None}),
        ("ganrm_fig3", {"make_sheet": 1, "train_sft": 2, "train_dpo": 8, "compute_metrics": None}),
        ("ganrm_tab4", {"make_table": 1, "train_reward": 4, "sample_images": 4, "compute_metrics": 4}),
        ("ganrm_tab5", {"make_table": 1, "train_reward": 6, "train_dpo": 6, "compute_metrics": 8}),
        ("ganrm_tab6", {"check_architecture": 1, "total": 2}),
        ("ganrm_tab7", {"make_table": 1, "train_reward": 3, "train_sft": 3, "train_dpo": 3, "compute_metrics": 9}),
        ("ganrm_tab8", {"make_table": 1, "train_reward": 1, "train_sft": 3, "train_dpo": 3, "compute_metrics": 9}),
        ("ganrm_tab9", {"make_table": 1, "train_reward": 3, "train_sft": None, "train_dpo": 3, "compute_metrics": 4}),
        ("ganrm_user_study", {"make_user_study": 1, "proxy_win_rate": 1, "train_dpo": 3, "compute_metrics": None}),
        ("ganrm_fig2", {"plot_ranks": 1, "train_dpo": 1, "train_reward": 1, "compute_metrics": 12}),
    ],
)
def test_targets_at_tiny_scale(planned, target, expected):
    jobs = planned.dry_run(target)
    assert {rule: jobs.get(rule) for rule in expected} == expected


def test_a_bare_snakemake_makes_everything_and_directions_every_claim(planned):
    config, jobs, replicated = load_config(), planned.dry_run(), planned.dry_run("directions")
    kinds = {"plot_ranks": RankFigure, "make_sheet": ImageGrid, "draw_pipeline": Diagram}
    expected = {rule: len(config.figures_of(kind)) for rule, kind in kinds.items()}
    expected |= {"make_table": len(config.tables), "check_architecture": len(config.architectures)}
    assert {rule: jobs[rule] for rule in expected} == expected
    assert jobs["validate_reward"] >= 1 and jobs["make_user_study"] == len(config.studies)
    claiming = [
        one for one in config.tables.values() if "_q_" not in one.name and any(row.better_than for row in one.rows)
    ]
    assert replicated["summarize_directions"] == len(claiming)
    assert replicated["train_dpo"] >= 3 * 3


def test_the_paper_scale_table_lists_its_true_jobs(planned):
    jobs = planned.dry_run(PAPER_TABLE)
    evaluated = 5  # base (and RM@10, the same images), DiffusionDPO, SFT, DPO rounds 1 and 3
    encoded_by_clip = 1 + ROUNDS * (2 + POOL_PARTS) + 1  # proxies; negatives, pool and samples of each round; RM@10's
    of_each_base = {
        "import_images": 2,
        "sample_images": ROUNDS * (POOL_PARTS + 2) + evaluated,
        "encode_images": encoded_by_clip + DISTANCES * (1 + evaluated),
        "score_images": SCORERS * evaluated,
        "train_reward": ROUNDS,
        "score_rewards": ROUNDS + 1,
        "select_samples": ROUNDS,
        "encode_latents": ROUNDS,
        "train_sft": 1,
        "train_dpo": ROUNDS,
        "compute_metrics": evaluated + 1,
    }
    assert jobs == {
        "fetch_data": 3,  # JourneyDB: images to learn from, prompts, images to compare with
        "fetch_model": 11,  # two generators, two baselines, two encoders, the extractor, four scorers
        "make_prompts": 4,
        **{rule: BASES * count for rule, count in of_each_base.items()},
        "make_table": 1,
        "total": sum(count for rule, count in jobs.items() if rule != "total"),
    }
    images = ROUNDS * (TRAIN_PROMPTS * SAMPLES + PROXIES) + EVAL_PROMPTS * (SAMPLES + evaluated - 1)
    assert jobs["total"] < images / 1000


def test_paper_scale_has_vbench_of_both_policies_and_the_prompts_of_figure_9(planned):
    jobs = planned.dry_run("results/tables/ganrm_tab3.csv")
    assert jobs["evaluate_vbench"] == 2 and jobs["compute_metrics"] == 4, "two policies on two prompt sets"
    plan = planned.snakemake("-n", "results/figures/ganrm_fig9.png").stdout
    assert "results/samples/videocrafter2_dpo.r1/fig9/part0.json" in plan and "eval_video" not in plan


def test_twice_the_images_are_twice_the_shards_and_bigger_shards_are_fewer_jobs(planned, tmp_path):
    study, before = planned.copy(tmp_path / "study"), planned.dry_run(PAPER_TABLE)
    study.edit("config/scales/paper.yaml", lambda scale: scale["prompts"].update(train=assumed(2 * TRAIN_PROMPTS)))
    twice = study.dry_run(PAPER_TABLE)
    more = BASES * ROUNDS * POOL_PARTS
    grown = {rule: twice[rule] - before[rule] for rule in before if twice[rule] != before[rule]}
    assert grown == {"sample_images": more, "encode_images": more, "total": 2 * more}
    study.edit("config/scales/paper.yaml", lambda scale: scale["counts"].update(images_per_shard=2000))
    assert study.dry_run(PAPER_TABLE) == before


REWARDS = "results/tiny/rewards"


def test_a_kept_reward_is_that_of_the_base_model(planned):
    plan = planned.snakemake("-n", f"{REWARDS}/ganrm_kept/sd15_dpo.r1/train.parquet").stdout
    assert f"output: {REWARDS}/ganrm_kept/sd15/head.safetensors" in plan
    assert f"{REWARDS}/ganrm_kept/sd15_dpo.r1/head.safetensors" not in plan
    assert f"output: {REWARDS}/ganrm/sd15/head.safetensors" in plan, "round 1 of sd15_dpo has its own reward"


def test_rewards_without_a_head_train_none_and_read_what_they_need(planned):
    rewards = [f"{REWARDS}/{name}/sd15/eval.parquet" for name in ("random", "pickscore")]
    jobs = [planned.dry_run(path) for path in rewards]
    assert [one["assign_rewards"] for one in jobs] == [1, 1]
    assert ["score_images" in one for one in jobs] == [False, True]
    assert not any({"train_reward", "encode_images"} & one.keys() for one in jobs)
    proxies_alone = planned.dry_run(f"{REWARDS}/centroid/sd15/head.safetensors")
    assert proxies_alone == {"import_images": 1, "encode_images": 1, "train_reward": 1, "total": 3}


def test_pilot_scale_is_planned_under_results_pilot(planned):
    done = planned.snakemake("-n", "--config", "scale=pilot", "--", *TARGETS)
    outputs = re.findall(r"^    output: (\S+?),?$", done.stdout, re.MULTILINE)
    made = [path for path in outputs if not path.startswith("results/downloads/")]
    assert made and all(path.startswith("results/pilot/") for path in made)
    assert jobs_of(done.stdout)["train_dpo"] == BASES  # one round each


def test_everything_of_both_papers_is_planned_and_the_page_of_costs_is_in_step(planned):
    """One graph of all tables, figures, studies and checks of rewards at pilot scale, one at paper scale."""
    planned.cli("plan_cost", "--page", "costs.md")
    page, config = (planned.root / "costs.md").read_text(), load_config()
    totals = [int(jobs.replace(",", "")) for jobs in re.findall(r"^\| together \| ([\d,]+) \|", page, re.MULTILINE)]
    assert len(totals) == 2 and max(totals) <= MOST_JOBS
    listed = re.findall(r"^\| (\w+) \| ", page, re.MULTILINE)
    for name in (*config.tables, *config.figures, *config.architectures):
        assert listed.count(name) == 2, name
    assert page == (REPOSITORY / "docs/costs.md").read_text(), "run make costs"


def test_targets_are_listed_with_a_sentence_each(planned):
    listed = planned.snakemake("--list-target-rules").stdout
    described = dict(re.findall(r"^(\w+) \((.+)\)$", listed, re.MULTILINE))
    targets = re.findall(r"^rule (\w+):", (REPOSITORY / "Snakefile").read_text(), re.MULTILINE)
    sheets = {path.stem for part in ("tables", "studies") for path in (REPOSITORY / "config" / part).glob("*.yaml")}
    papers = {paper + suffix for paper in ("ganrm", "advgrpo") for suffix in ("", "_directions")}
    assert described.keys() == {*targets, *papers, *sheets} >= {"all", "directions", "tiny_zoo", *TARGETS}
    assert all(len(sentence) > 15 and sentence.endswith((".", "?")) for sentence in described.values())


def test_the_snakefile_is_a_table_of_contents():
    assert len((REPOSITORY / "Snakefile").read_text().splitlines()) <= 80


def rules() -> list[tuple[str, str]]:
    """(name, text) of every rule."""
    texts = [re.split(r"^(?:use )?rule ", path.read_text(), flags=re.MULTILINE)[1:] for path in RULES]
    return [
        (re.match(r"\w+(?: as (\w+))?", text)[1] or re.match(r"\w+", text)[0], text) for file in texts for text in file
    ]


@pytest.mark.parametrize(("name", "text"), rules(), ids=[name for name, _ in rules()])
def test_every_rule_says_what_it_is_and_leaves_a_trace(name, text):
    inherits, local = " as " in text.partition("\n")[0], name in local_rules()
    assert inherits or re.match(r'\w+:\n    """[A-Z].+', text), "a docstring comes first"
    if "shell:" in text:
        missing = {"log:", "conda:", *(() if local else ("benchmark:", "resources:"))} - set(re.findall(r"\w+:", text))
        assert not missing
        assert "> {log:q} 2>&1" in text
        assert "code_of(" in text or name in DOWNLOADS, "an edit of the code must run the rule again"


def local_rules() -> set[str]:
    """Rules that the head process runs itself, even on a cluster."""
    blocks = [re.search(r"^localrules:\n((?:    .+\n)+)", path.read_text(), re.MULTILINE) for path in RULES]
    return {name for block in blocks if block for name in re.findall(r"\w+", block[1])}


@pytest.mark.parametrize(
    ("target", "minutes", "megabytes"),
    [
        ("results/samples/sd15/train/part0.json", 250, 32_000),  # 10,000 images, three times 80 minutes and the start
        ("results/samples/sdxl/train/part0.json", 1161, 32_000),  # at the paper's rate of 128 hours for 200,000 images
        ("results/pilot/samples/sd15/train/part0.json", 127, 32_000),  # 5,000 images
        ("results/samples/sd15_sft.r1/eval/part0.json", 28, 32_000),  # 1,000 images
        ("results/pilot/policies/sdxl_safe_dpo.r1/policy.json", 288, 57_600),  # 1,000 prompts x 4 pairs x 2 x 4
        ("results/tiny/samples/sd15/eval/part0.json", 15, 1_500),
    ],
)
def test_a_job_asks_for_what_its_images_need(planned, target, minutes, megabytes):
    said = planned.snakemake("-n", target).stdout
    resources = re.search(rf"output: {target}(?:,.*)?\n(?:    .*\n)*?    resources: (.+)\n", said)[1]
    assert f"runtime={minutes}," in resources and f"mem_mb={megabytes}," in resources


def test_settings_stand_in_params_that_snakemake_records():
    """It records no param that is made from the input, so only files may: a changed setting must repeat its step."""
    rules = {path.name: path.read_text() for path in (REPOSITORY / "rules").glob("*.smk")}
    found = {name: text.count("wildcards, input") for name, text in rules.items() if "wildcards, input" in text}
    assert found == {"common.smk": 1}, "use given(…) for the files, and a function of the wildcards for the settings"


def test_a_small_login_node_does_not_cut_the_threads_of_cluster_jobs(planned):
    target = "results/features/extractor/samples/sd15/eval/part0.safetensors"
    assert "threads: 8" in planned.snakemake("-n", target, *ON_A_CLUSTER, "--cores", "1").stdout
    assert "threads: 8" not in planned.snakemake("-n", target, "--cores", "1").stdout


@pytest.mark.parametrize("policy", ["sd15_dpo.r1", "sd15_sft.r1", "flow_grpo_pickscore.r1"])
def test_a_training_on_several_nodes_asks_for_tasks_threads_and_gpus_of_all(planned_on_nodes, policy):
    said = planned_on_nodes.snakemake("-n", f"results/policies/{policy}/policy.json", *ON_A_CLUSTER).stdout
    (block,) = (one for one in said.split("\n\n") if f"output: results/policies/{policy}/policy.json" in one)
    asked = dict(one.split("=", 1) for one in re.search(r"resources: (.+)", block)[1].split(", "))
    assert (asked["nodes"], asked["tasks"], asked["gpu"], asked["tasks_per_gpu"]) == ("2", "2", "8", "0")
    assert asked["slurm_extra"] == "--gpus-per-node=4"
    threads = int(re.search(r"threads: (\d+)", block)[1])
    assert threads >= 4 * 2 and f"--cpus-per-task={threads} " in block, "srun takes no CPUs from the job by itself"


def limits_below_estimates(jobs: list[dict]) -> list[str]:
    """Sampling, encoding and scoring whose limit is less than twice what plan_cost expects."""
    jobs = [Job(**job) for job in jobs if job["rule"] in ("sample_images", "encode_images", "score_images")]
    costs = costs_of(jobs, load_config(REPOSITORY / "config"), load_numbers(REPOSITORY / "config", "h100"))
    return [job.output[0] for job, cost in zip(jobs, costs, strict=True) if job.minutes < 2 * cost.gpu_seconds / 60]


def test_every_job_fits_a_partition_and_only_those_on_gpus_name_a_model(planned):
    """The limits are those of the profile; a job that fits no partition would go to the site's default one."""
    partitions = load_document(planned.root / "profiles/slurm/partitions.yaml").data["partitions"]
    settings = ("--config", "scale=paper", "gpu_model=h100")
    lines = planned.cli("list_jobs", "all", "--profile", "profiles/slurm", *settings).stdout.splitlines()
    jobs = [json.loads(line) for line in lines if line.startswith("{")]
    assert limits_below_estimates(jobs) == []
    asking = [job["resources"] | {"threads": job["threads"]} for job in jobs if "gpu" in job["resources"]]
    assert len(asking) > 1000 and {asked["gpu"] for asked in asking} == {0, 1}
    for asked in asking:
        limits = partitions["gpu" if asked["gpu"] else "cpu"]
        pairs = (("runtime", "max_runtime"), ("mem_mb", "max_mem_mb"), ("threads", "max_threads"))
        assert all(asked[one] <= limits[limit] for one, limit in pairs)
        assert asked["gpu_model"] == ("h100" if asked["gpu"] else "")


def test_a_table_is_of_the_replicates_that_the_configuration_asks_for(tmp_path):
    study = make_study(tmp_path / "study", resources=False, reduced=False)
    table, measured = "results/tiny/tables/ganrm_tab1.csv", "metrics/sd15_dpo@1.r3/eval/first.json"
    assert measured not in study.snakemake("-n", table).stdout
    study.edit("config/config.yaml", lambda settings: settings.update(replicates=[0, 1]))
    assert measured in study.snakemake("-n", table).stdout


def test_several_processes_train_one_policy(tmp_path):
    study = make_study(tmp_path / "study", reduced=False)
    study.edit(TINY, lambda scale: scale["counts"].update(training_processes=2))
    plan = study.snakemake("-n", "-p", "results/tiny/policies/flow_grpo_pickscore.r1/policy.json").stdout
    assert "python -m torch.distributed.run --standalone --nproc-per-node 2 -m workflow_scripts.train_grpo" in plan
    assert "mem_mb=3000" in plan
    assert "nodes=1" in plan, "else SLURM may give GPUs of two nodes to processes that start on one"
