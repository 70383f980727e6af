"""Plain admin pages for branches and accounts."""

from django.contrib import admin

from bank.models import Account, Branch


@admin.register(Branch)
class BranchAdmin(admin.ModelAdmin):
    list_display = ["name", "city"]


@admin.register(Account)
class AccountAdmin(admin.ModelAdmin):
    list_display = ["holder", "branch", "balance", "opened_at", "last_seen_at"]
    list_filter = ["branch"]
    list_select_related = ["branch"]
    search_fields = ["holder"]
