"""What every room uses: errors, atomic files, budgets, seeds."""
