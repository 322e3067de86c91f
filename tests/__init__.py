"""The tests, floor by floor: unit, property, integration, faults, cluster, typing, examples."""
