"""The parts that everything else stands on: batches, positions, time, graphs and the protocols of the outside."""
