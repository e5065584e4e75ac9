defmodule Vllm.Core.Mellea.WireTest do
  use ExUnit.Case, async: true

  alias Vllm.{Absurd, Error, Ref, Tool}
  alias Vllm.Core.Mellea.Wire

  alias Vllm.Mellea.{
    ChatContext,
    Component,
    Instruction,
    Message,
    Requirement,
    SimpleContext
  }

  @thunk %Ref{instance: {A, :b}, incarnation: "0", id: "1", type: "ModelOutputThunk"}

  test "components are maps with a type" do
    assert Wire.span(%Message{role: :user, content: "x"}) ==
             %{"type" => "message", "role" => :user, "content" => "x"}

    assert %{"type" => "instruction", "description" => "x", "requirements" => requirements} =
             Wire.span(%Instruction{
               description: "x",
               requirements: ["a", %Requirement{description: "b", validate: &is_binary/1}]
             })

    assert requirements == ["a", %{"description" => "b", "check_only" => false, "asked" => true}]

    inner = %Component{name: "Inner", template: "x"}
    outer = %Component{name: "Outer", args: %{parts: [inner, "b", @thunk], map: %{a: inner}}}
    assert %{"args" => %{parts: [part, "b", @thunk], map: %{a: part}}} = Wire.span(outer)
    assert part == %{"type" => "component", "name" => "Inner", "template" => "x", "args" => %{}}
  end

  test "contexts have turns" do
    assert Wire.context(%ChatContext{turns: ["a", @thunk], window_size: 2}) ==
             %{"type" => "chat", "turns" => ["a", @thunk], "window_size" => 2}

    assert Wire.context(%SimpleContext{turns: ["a"]}) == %{"type" => "simple", "turns" => ["a"]}
  end

  test "images are not passed over" do
    assert %{"images" => ["x"]} = Wire.span(%Message{content: "x", images: ["x"]})
  end

  test "tools are sent without their functions" do
    tool = %Tool{name: "f", parameters: %{}, run: fn _args -> 1 end}
    assert Wire.tools([tool]) == Wire.tools(%{"f" => tool})
    assert Wire.tools([tool]) == [%{"name" => "f", "parameters" => %{}}]
  end

  defmodule Schema do
    def json_schema, do: %{"type" => "object"}
  end

  test "a format is a schema or a module that has one" do
    assert Wire.format(Schema) == %{"type" => "object"}
    assert Wire.format(%{"type" => "string"}) == %{"type" => "string"}
    assert Wire.format(nil) == nil
    assert Wire.format(Enum) == Enum
  end

  test "no value makes any of them fail" do
    for value <- Absurd.values() do
      assert match?({:ok, %{}}, Wire.options(value)) or
               match?({:error, %Error{kind: :invalid}}, Wire.options(value))

      for field <- [:turns, :window_size],
          do: Wire.context(struct!(%ChatContext{}, [{field, value}]))

      for field <- Map.keys(Map.from_struct(%Instruction{})),
          do: Wire.span(struct!(%Instruction{}, [{field, value}]))

      for field <- [:name, :args, :template, :template_order, :tools],
          do: Wire.span(struct!(%Component{name: "X"}, [{field, value}]))

      Wire.span(value)
      Wire.context(value)
      Wire.requirements(value)
      Wire.tools(value)
      Wire.format(value)
    end
  end
end
