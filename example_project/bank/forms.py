"""The form behind the page that offers every account in one drop-down."""

from django import forms

from bank.models import Account


class AccountForm(forms.Form):
    account = forms.ModelChoiceField(queryset=Account.objects.all())
