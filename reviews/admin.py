"""What the console offers under /admin/. Django's own pages for groups go: rights come from roles."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.models import Group

from immune.models import (
    APV,
    Account,
    Advisory,
    Aftermath,
    ApiToken,
    Delivery,
    Event,
    ForgeJob,
    Freeze,
    Job,
    Remedy,
    Repository,
    Scan,
    Suppression,
    Team,
)
from reviews.console import (
    advisories,
    aftermaths,
    apvs,
    campaigns,
    decided,
    freezes,
    given_up,
    jobs,
    notices,
    people,
    policies,
    queue,
    remedies,
    set_aside,
    wargames,
    work,
)
from reviews.models import Campaign, Decision, ReflexRule, Review, Rule
from reviews.notices.models import Notice, NoticeChannel
from wargaming.models import Wargame

admin.site.unregister(Group)
for model, page in {
    Review: queue.ReviewAdmin,
    Decision: decided.DecisionAdmin,
    Campaign: campaigns.CampaignAdmin,
    Rule: policies.RuleAdmin,
    ReflexRule: policies.ReflexAdmin,
    Freeze: freezes.FreezeAdmin,
    APV: apvs.ApvAdmin,
    Suppression: set_aside.SuppressionAdmin,
    Advisory: advisories.AdvisoryAdmin,
    Remedy: remedies.RemedyAdmin,
    Wargame: wargames.WargameAdmin,
    Aftermath: aftermaths.AftermathAdmin,
    Repository: work.RepositoryAdmin,
    Scan: work.ScanAdmin,
    Job: jobs.JobAdmin,
    ForgeJob: work.ForgeJobAdmin,
    Event: work.EventAdmin,
    Delivery: given_up.DeliveryAdmin,
    NoticeChannel: notices.ChannelAdmin,
    Notice: notices.NoticeAdmin,
    Account: people.AccountAdmin,
    Team: people.TeamAdmin,
    ApiToken: people.TokenAdmin,
}.items():
    admin.site.register(model, page)
