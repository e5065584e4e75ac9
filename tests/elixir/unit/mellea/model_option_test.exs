defmodule Vllm.Mellea.ModelOptionTest do
  # Upstream: test_model_options.py (U-71 to U-75)
  use ExUnit.Case, async: true

  import ExUnit.CaptureLog

  alias Vllm.Mellea.ModelOption

  doctest ModelOption

  @from_to %{"k1" => "M1", "k2" => "M2"}

  test "the names of Mellea are sentinels, and all others are as they are" do
    assert ModelOption.to_wire(%{:seed => 1, :temperature => 0, "top_k" => 5, :top_p => 1}) == %{
             "@@@seed@@@" => 1,
             "temperature" => 0,
             "top_k" => 5,
             "top_p" => 1
           }
  end

  # U-71
  test "sentinels are left out" do
    options = %{"@@@tools@@@" => 1, "@@@a" => 2, "temperature" => 0, "a@@@" => 3}
    assert ModelOption.remove_special_keys(options) == %{"temperature" => 0, "a@@@" => 3}
  end

  # U-72, U-73
  test "keys are renamed, and a nil counts as none" do
    assert ModelOption.replace_keys(%{"k1" => 1, "k2" => 2, "x" => 3}, @from_to) ==
             %{"M1" => 1, "M2" => 2, "x" => 3}

    assert ModelOption.replace_keys(%{"k1" => 1, "M1" => nil}, @from_to) == %{"M1" => 1}
  end

  # U-74
  test "of two values that of the new name stays, and the other is told" do
    log =
      capture_log(fn ->
        assert ModelOption.replace_keys(%{"k1" => "v1", "k2" => "v2", "M1" => "m1"}, @from_to) ==
                 %{"M1" => "m1", "M2" => "v2"}
      end)

    assert log =~ ~s(lost value "v1", kept "m1")
  end

  test "a name that stays keeps its value" do
    given = %{"temperature" => 0.3}
    assert ModelOption.replace_keys(given, %{"temperature" => "temperature"}) == given
  end

  # U-75
  test "one map over another" do
    assert ModelOption.merge(%{"a" => 1, "b" => 2}, %{"b" => 3}) == %{"a" => 1, "b" => 3}
    assert ModelOption.merge(%{"a" => 1}, nil) == %{"a" => 1}
  end
end
