# Front door only; Meson does the work. See README.md.
BUILD  ?= build
MESON  := meson
SETUP  := $(BUILD)/build.ninja

.PHONY: build deps test demo check clean install

build: deps $(SETUP)
	ninja -C $(BUILD)

deps:
	scripts/install-deps

$(SETUP): | deps
	$(MESON) setup $(BUILD)

test: build
	scripts/run-tests $(BUILD)

# Redis with part of its data in remote memory; see bench/demo.
demo: build
	bench/demo --build $(BUILD)

check: deps
	scripts/check-house

clean:
	rm -rf $(BUILD) out

install: build
	$(MESON) install -C $(BUILD)
