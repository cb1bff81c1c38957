"""Values become target states and alert transitions."""
