# make exp-NAME [BACKEND=flex|ndarray|wgpu|cuda] [PROFILE=sandbox|real|paper] [DATA=dir] [SET="a.b=c ..."] [JOBS=N] [WITH="hub parquet"]
# make test
# make faults [MINUTES=10] [SEED=N]
# make bench [KERNEL="word ..."]
# make bench-trl [DATA=dir] [ROUNDS=5] [STEPS=6] [THREADS=2] [JOBS="dpo dpo_dialogue sft generate lm rank scale"] [BEST="bf16"]
# make bench-trl MODEL=dir [JOBS="dpo_model dpo_model_dialogue dpo_model_lora sft_model generate_model"]
#
# An experiment is built with its backend alone, and with what WITH names; everything else, as `cargo install` does, with all.
BACKEND ?= flex
CARGO_FLAGS = $(if $(filter flex,$(BACKEND)),,--no-default-features --features "$(BACKEND) hub parquet")
LIGHT_FLAGS = --no-default-features --features "$(strip $(BACKEND) $(WITH))"
RAPPORT = cargo run --quiet $(CARGO_FLAGS) --
LIGHT = cargo run --quiet $(LIGHT_FLAGS) --
ARGS = --backend $(BACKEND) $(if $(PROFILE),--profile $(PROFILE)) $(if $(DATA),--data $(DATA)) $(foreach s,$(SET),--set '$(s)')

.PHONY: build light test list doctor faults bench bench-trl

exp-%: light
	@$(LIGHT) run $* $(ARGS) $(if $(JOBS),--jobs $(JOBS))

show-%: light
	@$(LIGHT) show $* $(ARGS)

light:
	@cargo build --bin rapport $(LIGHT_FLAGS)

build:
	@cargo build $(CARGO_FLAGS)

test:
	cargo test $(CARGO_FLAGS)

list doctor: build
	@$(RAPPORT) $@

faults: build
	@python3 scripts/faults.py $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED))

bench:
	@cargo bench --quiet --profile dev --bench kernels -- $(KERNEL)

# BENCH_PYTHON=path/to/python takes the place of the environment that is made otherwise.
bench-trl:
	@$(if $(BENCH_PYTHON),BENCH_PYTHON=$(BENCH_PYTHON)) python3 benches/side_by_side/run.py $(if $(DATA),--data $(DATA)) $(if $(MODEL),--model $(MODEL)) $(if $(ROUNDS),--rounds $(ROUNDS)) \
		$(if $(STEPS),--steps $(STEPS)) $(if $(THREADS),--threads $(THREADS)) $(if $(JOBS),--jobs $(JOBS)) $(if $(BEST),--best '$(BEST)')
