# make exp-NAME [BACKEND=flex|ndarray|wgpu|cuda] [PROFILE=sandbox|real|paper] [DATA=dir] [SET="a.b=c ..."]
# make test
BACKEND ?= flex
CARGO_FLAGS = $(if $(filter flex,$(BACKEND)),,--no-default-features --features $(BACKEND))
RAPPORT = cargo run --quiet $(CARGO_FLAGS) --
ARGS = --backend $(BACKEND) $(if $(PROFILE),--profile $(PROFILE)) $(if $(DATA),--data $(DATA)) $(foreach s,$(SET),--set '$(s)')

.PHONY: build test list doctor

exp-%: build
	@$(RAPPORT) run $* $(ARGS)

show-%: build
	@$(RAPPORT) show $* $(ARGS)

build:
	@cargo build $(CARGO_FLAGS)

test:
	cargo test $(CARGO_FLAGS)

list doctor: build
	@$(RAPPORT) $@
