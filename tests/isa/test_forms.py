"""Forms of instructions that exist (PTX ISA 9.1, some of 9.2 and 9.3), and some that do not: the declarations must say so. One line a
form; braces hold alternatives, an empty one for an optional modifier. Not every combination: what was forgotten once, and the corners of
large families."""

from __future__ import annotations

import itertools
import re

import pytest

import anywarp.isa  # noqa: F401  declares every instruction
from anywarp.isa import base

FORMS = """
add{,.sat}.s32  add.{u16,s16,u32,s32,u64,s64,u16x2,s16x2}  add{.rn,.rz,.rm,.rp}{,.ftz}{,.sat}.f32  add.rn.f64  add{,.rn,.rz}{,.ftz}.f32x2
add{,.rn}{,.ftz}{,.sat}.{f16,f16x2}  add{,.rn}.{bf16,bf16x2}  {add,sub}.rn.f32.{f16,bf16}  fma.rn.oob{,.relu}.{f16,f16x2,bf16,bf16x2}
setp.{eq,ne,lt,le,gt,ge,equ,neu,ltu,leu,gtu,geu,num,nan}{,.ftz}.{f16,f16x2,f32}  setp.{eq,nan}.{bf16,bf16x2,f64}
setp.{lo,ls,hi,hs}{,.and,.or,.xor}.u32
set.{lt,nan}{,.ftz}.{f16.f16,f16x2.f16x2}  set.eq{,.and}.{u32,s32,f32}.{u16,s64,f32}  set.num.{u32,f32}.{f32,f64}  set.gt.bf16.bf16
set.le.{u16,s16,u32,s32}.{f16,bf16}
{mad,madc}.{hi,lo}{,.cc}.{u32,s32,u64,s64}  {addc,subc}{,.cc}.{u32,s64}  {min,max}{,.ftz}{,.NaN}{,.xorsign.abs}.f32  {min,max}.relu.s32
cvt.{rni,rzi,rmi,rpi}{,.ftz}{,.sat}.s32.f32  cvt.{rn,rz,rm,rp}.{bf16,f16,f32,f64}.{s8,u64}
cvt.rn{,.relu}{,.satfinite}.{f16x2,bf16x2}.f32  cvt.rna{,.satfinite}.tf32.f32
cvt.rn.satfinite{,.relu}.{e4m3x2,e5m2x2,e2m3x2,e3m2x2,e2m1x2}.{f32,f16x2,bf16x2}  cvt.rs{,.relu}.satfinite.{e4m3x4,e2m1x4}.f32
cvt.{rz,rp}{,.satfinite}.ue8m0x2.{f32,bf16x2}
cvt.rn.satfinite{,.relu}{,.scaled::n2::ue8m0}.s2f6x2.{f32,bf16x2}  cvt.rn.bf16x2.ue8m0x2
ld{,.weak}{,.const,.global,.local,.param,.shared,.shared::cluster}{,.ca,.cg,.cs,.lu,.cv}{,.v2,.v4}.{b8,u16,f32}
ld{.relaxed,.acquire}{.cta,.cluster,.gpu,.sys}.global.b128
ld.mmio.relaxed.sys{,.global}.{u8,f64}  st.mmio.relaxed.sys{,.global}.{b16,s64}
ld.global{,.ca,.cg,.cs}.nc{,.L2::cache_hint}{,.L2::64B}{,.v2,.v4}.f32
ld.global.nc.L1::no_allocate.L2::evict_first.v8.b32  ldu.global.v4.f32  st.volatile.local.v2.b32  st.release.gpu.global.v4.b64
st.async{,.weak}{,.shared::cluster}.mbarrier::complete_tx::bytes{,.v2,.v4}.b32  st.async.release.gpu.global.s8
st.bulk{,.weak}{,.shared::cta}
st.async{,.weak}{,.shared::cluster}.mbarrier::complete_tx::bytes.b128
cp.async.bulk{,.weak}.shared::cta.global.mbarrier::complete_tx::bytes{,.L2::cache_hint}{,.ignore_oob}
cp.async.bulk{.relaxed,.relaxed.gpu}.shared::cta.global.mbarrier::complete_tx::bytes{,.L2::cache_hint}{,.ignore_oob}.b128
cp.async.bulk.weak.shared::cluster.global.mbarrier::complete_tx::bytes{,.multicast::cluster}{,.L2::cache_hint}
cp.async.bulk.relaxed{,.sys}.shared::cluster.global.mbarrier::complete_tx::bytes{,.multicast::cluster}{,.L2::cache_hint}.b128
cp.async.bulk.relaxed.cluster.shared::cluster.shared::cta.mbarrier::complete_tx::bytes.b128
cp.async.bulk.weak.global.shared::cta.bulk_group{,.L2::cache_hint}{,.cp_mask}
cp.async.bulk.relaxed.sys.global.shared::cta.bulk_group{,.L2::cache_hint}{,.cp_mask}.b128
atom{,.relaxed,.acq_rel}{,.gpu,.sys}{,.global,.shared}.{add,min,max}.{u32,s32,u64}  atom.global.add.noftz.{f16,f16x2,bf16,bf16x2}
atom.{cas,exch}.b128  atom.global.cas.b16
atom.global.{add,min,max}.noftz.{v2,v4,v8}.{f16,bf16}  atom.global.add.{v2,v4}.f32
red.async.relaxed.cluster.shared::cluster.mbarrier::complete_tx::bytes.{inc,dec}.u32
cp.async.{ca,cg}.shared.global{,.L2::cache_hint}{,.L2::128B}  cp.async.mbarrier.arrive{,.noinc}{,.shared}.b64
cp.async.bulk.tensor.{1d,5d}.{shared::cta,shared::cluster}.global{,.tile}.mbarrier::complete_tx::bytes{,.L2::cache_hint}
cp.async.bulk.tensor.2d.{shared::cta,shared::cluster}.global.tile::gather4.mbarrier::complete_tx::bytes
cp.async.bulk.tensor.2d.global.shared::cta.tile::scatter4.bulk_group
cp.async.bulk.tensor.{3d,4d,5d}.shared::cluster.global.im2col.mbarrier::complete_tx::bytes{,.multicast::cluster}
cp.async.bulk.prefetch.tensor.2d.L2.global.tile::gather4
cp.reduce.async.bulk.tensor.3d.global.shared::cta.{add,xor}{,.im2col_no_offs}.bulk_group
cp.reduce.async.bulk.global.shared::cta.bulk_group.add.noftz.bf16
multimem.cp.async.bulk.global.shared::cta.bulk_group{,.cp_mask}
multimem.cp.reduce.async.bulk.global.shared::cta.bulk_group.{and.b64,min.s32,add.f64,add.noftz.f16}
multimem.ld_reduce{,.relaxed.gpu}{,.global}.add{,.acc::f32}.v4.bf16x2  multimem.ld_reduce.weak.global.min.u32
multimem.st.weak{,.global}.v2.f32  multimem.red.release.sys.global.add.f16
tensormap.replace.tile.{global_address,global_stride}{,.global,.shared::cta}.b1024.b64
tensormap.replace.tile.{rank,box_dim,swizzle_atomicity,fill_mode}.global.b1024.b32
tensormap.cp_fenceproxy.global.shared::cta.tensormap::generic.release.{cta,cluster,gpu,sys}.sync.aligned
prefetch{,.const,.param}.tensormap  discard{,.global}.L2
mbarrier.{arrive,arrive_drop}{,.release,.relaxed}{,.cta,.cluster}{,.shared,.shared::cta}.b64
mbarrier.{arrive,arrive_drop}.expect_tx{,.shared,.shared::cluster}{,.release}{,.cluster}.b64
mbarrier.{expect_tx,complete_tx}{,.relaxed.cta,.relaxed.cluster}{,.shared::cluster}.b64
mbarrier.{test_wait,try_wait}{,.parity}{,.acquire.cta,.relaxed.cluster}{,.shared}.b64
clusterlaunchcontrol.try_cancel.async{,.shared::cta}.mbarrier::complete_tx::bytes{,.multicast::cluster::all}.b128
clusterlaunchcontrol.query_cancel.is_canceled.pred.b128
clusterlaunchcontrol.query_cancel.get_first_ctaid.v4.b32.b128  clusterlaunchcontrol.query_cancel.get_first_ctaid::{x,y,z}.b32.b128
fence{,.sc,.acq_rel}.{cta,cluster,gpu,sys}  fence.proxy.{alias,async,async.global,async.shared::cta}
fence.proxy.tensormap::generic.{acquire,release}.gpu
fence.{acquire.sync_restrict::shared::cluster,release.sync_restrict::shared::cta}.cluster  fence.mbarrier_init.release.cluster
bar{,.cta}.{sync,arrive}  barrier{,.cta}.red.{popc.u32,and.pred}  barrier.cluster.{arrive,wait}{,.aligned}
redux.sync.{min,max}{,.abs}{,.NaN}.f32  elect.sync
ldmatrix.sync.aligned.m8n8.{x1,x2,x4}{,.trans}{,.shared,.shared::cta}.b16  ldmatrix.sync.aligned.m16n16.{x1,x2}.trans.shared.b8
ldmatrix.sync.aligned.m8n16.{x1,x2,x4}.shared.b8x16.{b6x16_p32,b4x16_p64}
ldmatrix.sync.aligned.m16n16.{x1,x2}.trans.shared.b8x16.{b6x16_p32,b4x16_p64}
stmatrix.sync.aligned.m8n8.x4{,.trans}.shared.b16  stmatrix.sync.aligned.m16n8.{x1,x2,x4}.trans{,.shared}.b8
wgmma.mma_async.sync.aligned.m64n{8,248,256}k16.{f16,f32}.f16.f16  wgmma.mma_async.sync.aligned.m64n96k32{,.satfinite}.s32.{s8,u8}.{s8,u8}
wgmma.mma_async.sp.sync.aligned.m64n{8,256}k32.{f16,f32}.f16.f16  wgmma.mma_async.sp.sync.aligned.m64n8k16.f32.tf32.tf32
wgmma.mma_async.sp.sync.aligned.m64n16k64{,.satfinite}.s32.s8.u8
wgmma.mma_async.sp.sync.aligned.m64n24k64.{f16,f32}.{e4m3,e5m2}.{e4m3,e5m2}
tex{,.base}.{1d,2d,3d,a1d,a2d,cube,acube}.v4.{f32,s32}.f32  tex.{2dms,a2dms}.v4.f32.s32  tld4.{r,a}.{2d,a2d,cube}.v4.f32.f32
sured.p.{min,max}.2d.b64.clamp
{vadd,vsub,vabsdiff,vmin,vmax}.{u32,s32}.{u32,s32}.s32{,.sat}{,.add,.min,.max}  vset.{u32,s32}.u32.ge{,.max}
{vadd2,vavrg4}.{u32.u32.u32,u32.u32.u32.add}  vset2.{u32.s32.lt,s32.u32.ge.add}
"""
NO_FORMS = """
add.bf16x4  mul.wide.s64  setp.lo.s32  setp.lt.ftz.f64  cvt.f16.f32  cvt.rn.f64.f32  cvt.sat.u32.u8  ld.v8.b64  ld.v4.b128
ldmatrix.sync.aligned.m16n16.x4.trans.b8  ldmatrix.sync.aligned.m16n16.x1.b8  ldmatrix.sync.aligned.m8n8.x1.b8
stmatrix.sync.aligned.m16n8.x1.b8
wgmma.mma_async.sp.sync.aligned.m64n8k16.f32.f16.f16  cp.async.bulk.tensor.3d.shared::cta.global.tile::gather4.mbarrier::complete_tx::bytes
cp.async.bulk.tensor.2d.global.shared::cta.tile::gather4.bulk_group  tex.level.2dms.v4.f32.s32  tex.cube.v4.f32.s32
sured.b.min.1d.b64.trap  sured.p.add.1d.b64.trap
multimem.cp.reduce.async.bulk.global.shared::cta.bulk_group.min.f32
red.async.relaxed.cluster.shared::cluster.mbarrier::complete_tx::bytes.add.f32
"""


def expand(pattern: str) -> list[str]:
    """All spellings of a pattern."""
    parts = [part[1:-1].split(",") if part[0] == "{" else [part] for part in re.findall(r"\{[^}]*\}|[^{}]+", pattern)]
    return ["".join(chosen) for chosen in itertools.product(*parts)]


def spellings(text: str) -> list[str]:
    return [s for pattern in text.split() for s in expand(pattern)]


def test_the_table_is_large() -> None:
    assert len(spellings(FORMS)) > 2000


@pytest.mark.parametrize("pattern", FORMS.split())
def test_exists(pattern: str) -> None:
    rejected = [s for s in expand(pattern) if not base.resolve(tuple(s.split(".")))]
    assert not rejected, rejected[:5]


@pytest.mark.parametrize("opcode", spellings(NO_FORMS))
def test_does_not_exist(opcode: str) -> None:
    assert not base.resolve(tuple(opcode.split(".")))
