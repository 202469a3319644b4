"""Pictures in: files, axes, spacing, intensity."""
