"""From members to what is measured on them: segmenters, their training, and what stays sure of their masks."""
