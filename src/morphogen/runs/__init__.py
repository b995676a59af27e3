"""A run folder from beginning to end: assembling the parts, running the phases, concluding, telling how it stands."""
