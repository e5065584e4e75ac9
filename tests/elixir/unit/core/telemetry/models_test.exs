defmodule Vllm.Core.Telemetry.ModelsTest do
  use ExUnit.Case, async: true

  alias Vllm.{AsyncEngineArgs, Error, Ref}
  alias Vllm.Core.Telemetry.Models

  setup %{test: name} do
    %{ref: %Ref{instance: {name, :here}, incarnation: "one", id: "e", type: "AsyncLLM"}}
  end

  test "an engine's name is the first that it is served under, or else its model", %{ref: ref} do
    for {args, kwargs, name} <- [
          {[[model: "m"]], [], "m"},
          {[%{"model" => "m", "served_model_name" => "s"}], [], "s"},
          {[%AsyncEngineArgs{model: "m", served_model_name: ["a", "b"]}], [], "a"},
          {["declared", [model: "m"]], [], "m"},
          {[], [model: "m"], "m"}
        ] do
      assert Models.learn({:ok, ref}, args, kwargs) == {:ok, ref}
      assert Models.name(ref) == name
    end

    llm = %{ref | type: "LLM", id: "l"}
    Models.learn({:ok, llm}, ["a/folder"], [])
    assert Models.name(llm) == "a/folder"
  end

  test "nothing is learned of what is no engine, or says no model", %{ref: ref} do
    error = {:error, Error.new(:invalid, "no")}
    assert Models.learn(error, [[model: "m"]], []) == error
    other = %{ref | type: "SamplingParams"}
    Models.learn({:ok, other}, [[model: "m"]], [])
    assert Models.name(other) == nil
    Models.learn({:ok, ref}, [%{ref | id: "args"}], [])
    Models.learn({:ok, ref}, [5, [1], "m", [model: :m]], [])
    assert Models.name(ref) == nil
    assert Models.name("no reference") == nil
  end

  test "engines of an earlier run of the worker are forgotten", %{ref: ref} do
    elsewhere = %{ref | instance: {:elsewhere, :here}}
    again = %{ref | incarnation: "two"}
    for engine <- [ref, elsewhere, again], do: Models.put(engine, "m")
    assert Enum.map([ref, elsewhere, again], &Models.name/1) == [nil, "m", "m"]
  end
end
